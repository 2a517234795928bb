"""Contradicting, absurd or ambiguous tasks cannot be constructed; equal tasks have equal bytes."""

import json
import math
import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import ManifestError, PacelineError
from federation.manifest import Manifest, parse
from federation.terms import PersonTerms, TrainingTerms, Unprotected
from privacy.accounting import SampledGaussian, SampledSkellam, epsilon
from simulations.specimens import EXPIRES, ISSUED, MAKERS, RUNNERS, manifest, members, person_terms, shared_manifest


def edited(path: str, value: object) -> str:
    """The specimen as JSON with one field replaced; `...` removes it."""
    body = manifest().model_dump(mode="json")
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = body
    for part in parents:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(body)  # writes NaN and Infinity as such


ABSURD = [
    ("title", "Pace\x1b[2J\x1b[H", "match pattern"),
    ("title", "Pace\nprivacy: epsilon = 0.1", "match pattern"),
    ("cohort.0.name", "City \u202esrennuR", "match pattern"),
    ("privacy.noise_multiplier", 0, "greater than or equal to 0.1"),
    ("privacy.noise_multiplier", -1, "greater than or equal to 0.1"),
    ("privacy.noise_multiplier", math.nan, "finite number|greater than or equal"),
    ("privacy.noise_multiplier", math.inf, "finite number|less than or equal"),
    ("privacy.noise_multiplier", 1e9, "less than or equal to 1000"),
    ("privacy.noise_multiplier", "one", "valid number"),
    ("privacy.sampling_rate", 1.5, "less than or equal to 1"),
    ("privacy.sampling_rate", 0, "greater than 0"),
    ("privacy.sampling_rate", -0.1, "greater than 0"),
    ("privacy.sampling_rate", math.nan, "finite number"),
    ("privacy.sampling_rate", 5e-324, "expected a probability from 1e-09"),
    ("privacy.clip", math.inf, "finite number|less than or equal"),
    ("privacy.clip", 0, "greater than 0"),
    ("privacy.clip", -1, "greater than 0"),
    ("privacy.clip", math.nan, "finite number|greater than"),
    ("privacy.rows_per_person", 0, "greater than or equal to 1"),
    ("privacy.max_attempts", 10**9, "less than or equal to 100000"),
    ("privacy.max_attempts", 9, "10 rounds need at least as many attempts, not 9|contradicts"),
    ("privacy.max_attempts", 1.5, "valid integer"),
    ("privacy.delta", 0, "greater than 0"),
    ("privacy.delta", 0.5, "less than 0.1"),
    ("privacy.delta", math.nan, "finite number|greater than"),
    ("privacy.epsilon", 0, "greater than 0"),
    ("privacy.epsilon", math.nan, "finite number|greater than"),
    ("privacy.epsilon", 1.0, r"epsilon = 1 contradicts the other terms, which cost ε = 5\.06"),
    ("privacy.epsilon", 50.0, "epsilon = 50 contradicts the other terms"),
    ("privacy.unit", "household", "does not match any of the expected tags"),
    ("privacy.unit", ..., "Unable to extract tag"),
    ("privacy", {"unit": "none", "epsilon": 1.0}, "Extra inputs are not permitted"),
    ("evaluation.epsilon", 0.01, "epsilon = 0.01 contradicts the other terms, which cost ε = 0.40"),
    ("evaluation.noise_multiplier", 0, "greater than or equal to 0.1"),
    ("evaluation.max_evaluations", 10**9, "less than or equal to 100000"),
    ("rounds", 10**9, "less than or equal to 100000"),
    ("rounds", 0, "greater than or equal to 1"),
    ("rounds", 13, "13 rounds need at least as many attempts, not 12"),
    ("training.local_steps", 10**9, "less than or equal to 1000"),
    ("training.step_rows", -1, "greater than or equal to 0"),
    ("training.step_rows", 1000, "step_rows = 1000 is more than rows_per_person ="),
    ("training.proximal", -0.1, "greater than or equal to 0"),
    ("training.proximal", 1e5, "is more than 1, so that a step would jump past the round's weights. Write proximal ="),
    ("training.learning_rate", math.nan, "finite number|greater than"),
    ("training.learning_rate", 0, "greater than 0"),
    ("training.server_optimizer", "lion", "Input should be 'sgd', 'adam' or 'yogi'"),
    ("training.server_beta1", 1, "less than 1"),
    ("training.server_beta2", -0.1, "greater than or equal to 0"),
    ("training.server_tau", 0, "greater than 0"),
    ("training.server_tau", math.nan, "finite number|greater than"),
    ("training.scaffold", True, r"second vector of each party.*unit = \"none\" and secure = false"),
    ("training.aggregation", "mode", "Input should be 'mean', 'median', 'trimmed-mean' or 'multi-krum'"),
    ("training.aggregation", "multi-krum", "leaves out as many updates as parties may be hostile, but byzantine is 0"),
    ("training.byzantine", 1, "a mean withstands no hostile party"),
    ("training.norm_limit", 1.0, "norm_limit is for tasks without privacy terms"),
    ("training.public_weight", -1, "greater than or equal to 0"),
    ("training.seed", 2**32, "less than 4294967296"),
    ("exchange.min_parties", 4, "min_parties = 4 but only 2 parties have people"),
    ("exchange.min_parties", 0, "greater than or equal to 1"),
    ("exchange.up", "pickle", "Input should be 'raw32', 'raw16', 'int8_block', 'urq' or 'lane'"),
    ("exchange.up", "urq", "up = urq with up_bits = 0: codec urq takes 0.01 to 4 bits per value, not 0"),
    ("exchange.up_bits", 0.1, "up = int8_block with up_bits = 0.1: codec int8_block has no budget"),
    ("exchange.up_bits", 25, "less than or equal to 24"),
    ("exchange.down_bits", 0.5, "down = raw16 with down_bits = 0.5: codec raw16 has no budget"),
    ("exchange.clip", -1, "greater than or equal to 0"),
    ("exchange", {"up": "urq", "up_bits": 0.005, "min_parties": 1}, "codec urq takes 0.01 to 4 bits per value"),
    ("exchange.secure", True, 'sums under masks travel in lanes.*Write up = "lane" and up_bits = 8'),
    ("exchange", {"up": "lane", "up_bits": 8, "min_parties": 1}, "secure = false with up = lane"),
    ("exchange", {"up": "lane", "up_bits": 8.5, "secure": True, "min_parties": 1}, "4 to 24 bits, a whole number"),
    ("exchange", {"up": "lane", "up_bits": 3, "secure": True, "min_parties": 1}, "4 to 24 bits, a whole number"),
    ("exchange", {"up": "lane", "up_bits": 8, "secure": True, "min_parties": 1}, "write the largest L2 norm"),
    ("privacy.noise", "shared", 'noise = "shared" with levels = 0: write levels = 512'),
    ("privacy.levels", 512, 'noise = "node" with levels = 512: leave it out'),
    ("privacy.colluding", 1, "colluding is about noise that parties share"),
    ("cohort", [], "at least 1 item"),
    ("cohort.0.party", "coach-lab", "a party or a key stands twice"),
    ("cohort.0.party", "../etc", "should match pattern"),
    ("cohort.0.fingerprint", "ab", "should match pattern"),
    ("cohort.0.role", "referee", "Input should be 'service-provider'"),
    ("cohort.2.people", 5, "model-makers is a algorithm-provider, which has no people, but declares 5"),
    ("expires_at", "2026-01-01T12:00:00Z", "expires before it is issued"),
    ("expires_at", "2020-01-01T12:00:00Z", "expires before it is issued"),
    ("issued_at", "2026-01-01T12:00:00", "timezone"),
    ("answer_after_s", 120, "answer_after_s must be below round_deadline_s"),
    ("round_deadline_s", math.inf, "finite number|less than"),
    ("purpose", "anything", "Input should be 'train-motion-models'"),
    ("workload.name", "os.system", "should match pattern"),
    ("workload.digest", ..., "Field required"),
    ("workload.version", 2**60, "less than 2147483648"),
    ("format", "paceline-task-2", "Input should be 'paceline-task-1'"),
    ("callback", "http://localhost", "Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("path", "value", "text"), ABSURD, ids=[f"{path}={value}" for path, value, _ in ABSURD])
def test_a_task_with_an_absurd_or_contradicting_field_is_no_task(path, value, text):
    with pytest.raises(PacelineError, match=text) as info:
        parse(edited(path, value))
    assert "pydantic" not in str(info.value)


def test_the_specimen_itself_is_a_task():
    assert parse(edited("title", "Another title")).title == "Another title"


@pytest.mark.parametrize("field", ["party", "fingerprint"])
def test_a_party_or_key_that_stands_twice_is_refused(field):
    body = manifest().model_dump(mode="json")
    body["cohort"][1][field] = body["cohort"][0][field]
    with pytest.raises(ManifestError, match="a party or a key stands twice in the cohort"):
        parse(json.dumps(body))


def test_nobody_who_contributes_is_refused():
    body = manifest().model_dump(mode="json")
    for member in body["cohort"]:
        member["people"] = 0
    body["training"]["public_weight"] = 0
    with pytest.raises(ManifestError, match="min_parties = 2 but only 0 parties have people"):
        parse(json.dumps(body))


def test_the_message_names_the_epsilon_to_write():
    with pytest.raises(ManifestError, match="Write epsilon = ") as info:
        parse(edited("privacy.epsilon", 1.0))
    proposed = float(re.search(r"Write epsilon = ([\d.]+)", str(info.value))[1])
    assert parse(edited("privacy.epsilon", proposed)).privacy.epsilon == proposed


def test_not_json_is_a_manifest_error_without_the_input_in_it():
    with pytest.raises(ManifestError, match="this is not a valid task") as info:
        parse(b"{secret: 1}")
    assert "secret" not in str(info.value)


def test_a_frozen_task_cannot_be_edited():
    with pytest.raises(ValueError, match="frozen"):
        manifest().rounds = 11  # type: ignore[misc]


def test_equal_tasks_have_equal_bytes_whatever_the_spelling():
    task = manifest()
    respelled = json.dumps(json.loads(task.canonical()), indent=3, sort_keys=False)
    assert parse(respelled) == task
    assert parse(respelled).canonical() == task.canonical()
    assert parse(respelled.replace('"rounds": 10', '"rounds": 10.0')).digest() == task.digest()


def test_canonical_bytes_are_sorted_compact_json():
    body = manifest().canonical()
    assert body == json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Exercise recognition, Spring"},
        {"rounds": 9},
        {"expires_at": EXPIRES + timedelta(microseconds=1)},
        {"cohort": members(people=101)},
    ],
)
def test_any_change_changes_the_digest(change):
    task = manifest()
    assert Manifest.model_validate(dict(task) | change).digest() != task.digest()


def test_the_digest_is_sha256_of_the_canonical_bytes():
    assert re.fullmatch(r"[0-9a-f]{64}", manifest().digest())
    assert manifest().digest() == parse(manifest().canonical()).digest()


def test_divisor_counts_expected_people_and_the_public_weight():
    task = manifest()
    assert task.divisor() == pytest.approx(0.25 * 200 + 2.0)
    assert {member.party for member in task.contributors()} == {member.party for member in task.cohort}
    alone = Manifest.model_validate(dict(task) | {"training": TrainingTerms(learning_rate=0.1)})
    assert MAKERS not in {member.party for member in alone.contributors()}


def test_member_of_another_task_is_an_error():
    assert manifest().member(RUNNERS).party == RUNNERS
    with pytest.raises(ManifestError, match="strangers is not in the cohort of task spring-watch"):
        manifest().member("strangers")


def test_a_task_without_privacy_says_so_in_its_own_type():
    task = Manifest.model_validate(dict(manifest()) | {"privacy": Unprotected(unit="none")})
    assert task.max_attempts == 20
    assert task.divisor() == 202.0


@pytest.mark.parametrize(
    ("privacy", "text"),
    [
        (Unprotected(unit="none"), "about the steps of a person, but privacy.unit is none. Write batch_rows"),
        (
            person_terms().model_copy(update={"unit": "record", "rows_per_person": 1}),
            "but privacy.unit is record. Leave it out: there each step takes one row",
        ),
    ],
    ids=["none", "record"],
)
def test_rows_of_a_step_belong_to_terms_about_persons(privacy, text):
    training = TrainingTerms(learning_rate=0.1, step_rows=1)
    with pytest.raises(ValueError, match=re.escape(text)):
        Manifest.model_validate(dict(manifest()) | {"privacy": privacy, "training": training})


@pytest.mark.parametrize(
    ("other", "text"),
    [({"proximal": 0.1}, "both hold local steps back"), ({"phases": ("a", "b")}, "tasks of one phase")],
)
def test_scaffold_stands_alone(other, text):
    with pytest.raises(ValueError, match=text):
        TrainingTerms(learning_rate=0.1, scaffold=True, **other)


@pytest.mark.parametrize(("rule", "needed"), [("median", 5), ("trimmed-mean", 5), ("multi-krum", 7)])
def test_a_rule_needs_enough_parties(rule, needed):
    training = TrainingTerms(learning_rate=0.1, aggregation=rule, byzantine=2)
    with pytest.raises(ValueError, match=f"withstands 2 hostile of at least {needed} parties, but 2 contribute"):
        Manifest.model_validate(dict(manifest()) | {"training": training})


@pytest.mark.parametrize("other", [{"aggregation": "median"}, {"norm_limit": 1.0}])
def test_what_looks_at_single_updates_is_refused_beside_scaffold(other):
    with pytest.raises(ValueError, match="none can be left out or cut"):
        TrainingTerms(learning_rate=0.1, scaffold=True, **other)


def test_terms_that_came_later_leave_the_bytes_of_older_tasks_as_they_were():
    written = manifest().model_dump(mode="json")["training"]
    assert "server_optimizer" not in written
    assert "up_bits" not in manifest().model_dump(mode="json")["exchange"]
    chosen = manifest().training.model_copy(update={"server_optimizer": "yogi", "server_tau": 0.01})
    changed = manifest().model_copy(update={"training": chosen})
    assert changed.digest() != manifest().digest()
    assert parse(changed.canonical()) == changed


def test_tasks_from_before_noise_was_shared_keep_their_bytes():
    written = manifest().model_dump(mode="json")["privacy"]
    assert not {"noise", "levels", "colluding"} & written.keys()
    assert parse(shared_manifest().canonical()) == shared_manifest()


def test_the_epsilon_of_shared_noise_is_its_own_and_not_the_gaussian():
    terms = shared_manifest().privacy
    gaussian = epsilon(SampledGaussian(terms.sampling_rate, terms.noise_multiplier), terms.max_attempts, terms.delta)
    assert terms.person_cost() == SampledSkellam(terms.sampling_rate, terms.noise_multiplier, terms.levels)
    with pytest.raises(ValueError, match="contradicts the other terms"):
        PersonTerms.model_validate(dict(terms) | {"epsilon": math.ceil(gaussian * 1000) / 1000})


@pytest.mark.parametrize(
    ("part", "change", "text"),
    [
        ("privacy", {"unit": "record"}, 'noise = "shared" protects people'),
        ("privacy", {"levels": 0}, "write levels = 512 or more"),
        ("privacy", {"levels": 2**20 + 1}, "less than or equal to 1048576"),
        ("privacy", {"colluding": -1}, "greater than or equal to 0"),
        ("privacy", {"colluding": 4}, "could have two lists of survivors borne out; write 3 or less"),
        ("exchange", {"up_bits": 9}, "cannot hold the noise of 6 parties"),
        ("training", {"phases": ["classify"]}, "sums rounds of one phase"),
        ("exchange", {"up_bits": 4}, "up_bits = 4"),
        ("exchange", {"up": "raw32", "up_bits": 0, "secure": False}, "protects a sum only. Write secure = true"),
        ("exchange", {"clip": 1.0}, "leave it out"),
    ],
)
def test_shared_noise_that_would_not_protect_is_no_task(part, change, text):
    body = shared_manifest().model_dump(mode="json")
    body[part] |= change
    with pytest.raises(ManifestError, match=text):
        parse(json.dumps(body))


def test_a_sum_of_two_or_of_a_crowd_is_not_masked():
    for parties, text in ((2, "2 parties contribute; secure aggregation takes 3 to 100"), (101, "101 parties")):
        with pytest.raises(ValueError, match=text):
            shared_manifest(parties, 0, 2)


def test_expiry_is_exclusive():
    assert not manifest().expired(EXPIRES - timedelta(microseconds=1))
    assert manifest().expired(EXPIRES)
    assert not manifest().expired(ISSUED)


def test_record_level_terms_charge_people_for_all_their_rows():
    terms = person_terms()
    rows = 4
    q = 1 - (1 - terms.sampling_rate) ** rows
    cost = PersonTerms.person_cost(terms.model_copy(update={"unit": "record", "rows_per_person": rows}))
    assert cost.sampling_rate == pytest.approx(q)
    assert cost.noise_multiplier == pytest.approx(terms.noise_multiplier / rows)
    assert epsilon(cost, 1, 1e-3) > epsilon(terms.person_cost(), 1, 1e-3)


@given(st.sampled_from([0.05, 0.25, 1.0]), st.sampled_from([0.8, 2.0]), st.integers(1, 50))
def test_terms_hold_only_with_the_epsilon_that_they_cost(rate, noise, attempts):
    terms = person_terms(rate, noise, attempts)
    assert epsilon(terms.person_cost(), attempts, terms.delta) <= terms.epsilon
    for factor in (0.98, 1.08):
        with pytest.raises(ValueError, match="contradicts the other terms"):
            PersonTerms.model_validate(
                terms.model_dump() | {"epsilon": terms.epsilon * factor - 0.002 * (factor < 1) + 0.003 * (factor > 1)}
            )
