"""From a TOML file to a contract that may be launched."""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation import phases, workloads
from federation.codecs import lane
from federation.errors import EnrolmentError, ManifestError, SignatureError, UsageError
from federation.roles import Role
from federation.signing import Identity
from federation.terms import NoisedScores, PersonTerms
from privacy import accounting
from privacy.levels import ample_levels
from server import tasks
from server.store import TaskState


@pytest.fixture
def text(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("joined").new_task.__func__.__defaults__[0])


@pytest.fixture
def ready(joined: Any) -> Any:
    return joined


def test_a_contract_is_filled_with_what_the_coordinator_knows(ready: Any) -> None:
    manifest = ready.new_task().manifest()
    assert [(m.name, m.role, m.people) for m in manifest.cohort] == [
        ("City Runners", Role.DATA_PROVIDER, 900),
        ("Hill Runners", Role.SERVICE_PROVIDER, 600),
        ("Coaches", Role.TRAINER, 0),
        ("Algo Works", Role.ALGORITHM_PROVIDER, 0),
    ]
    assert manifest.cohort[0].fingerprint == ready.identities["city-runners"].fingerprint
    assert manifest.workload.name == "running_pace"
    assert manifest.issued_at == ready.clock()


def test_noise_is_computed_from_epsilon_for_one_attempt_more_than_rounds(ready: Any, text: str) -> None:
    terms = ready.new_task(text.replace("noise_multiplier = 1.0", "epsilon = 1.0")).manifest().privacy
    assert isinstance(terms, PersonTerms)
    assert terms.max_attempts == 4
    assert terms.noise_multiplier == accounting.noise_for(1.0, 0.1, 4, 1e-5)
    assert 0.99 < terms.epsilon <= 1.0


def test_epsilon_is_computed_from_noise(ready: Any, text: str) -> None:
    terms = ready.new_task(text.replace("noise_multiplier = 1.0", "noise_multiplier = 2.0")).manifest().privacy
    actual = accounting.epsilon(accounting.SampledGaussian(0.1, 2.0), 4, 1e-5)
    assert actual <= terms.epsilon <= actual + 1e-4


def test_both_may_be_given_if_they_agree(ready: Any, text: str) -> None:
    epsilon = ready.new_task().manifest().privacy.epsilon
    ready.new_task(text.replace("noise_multiplier = 1.0", f"noise_multiplier = 1.0\nepsilon = {epsilon}"))
    with pytest.raises(ManifestError, match="contradicts the other terms"):
        ready.new_task(text.replace("noise_multiplier = 1.0", "noise_multiplier = 0.5\nepsilon = 1.0"))


def test_record_terms_are_computed_for_the_person(ready: Any, text: str) -> None:
    words = text.replace("[privacy]", '[privacy]\nunit = "record"').replace("noise_multiplier = 1.0", "epsilon = 1.0")
    terms = ready.new_task(words).manifest().privacy
    assert accounting.epsilon(terms.person_cost(), 4, 1e-5) <= terms.epsilon <= 1.0


def test_noised_scores_get_their_noise(ready: Any, text: str) -> None:
    noised = 'disclosure = "noised"\ndelta = 1e-3\nepsilon = 2.0\nevery_rounds = 2'
    terms = ready.new_task(text.replace('disclosure = "published"', noised)).manifest().evaluation
    assert isinstance(terms, NoisedScores)
    assert terms.max_evaluations == 2
    assert terms.epsilon <= 2.0


ABSURD = {
    "noise_multiplier = 1.0": [
        "noise_multiplier = 0.0",
        "noise_multiplier = -1.0",
        "noise_multiplier = nan",
        "noise_multiplier = inf",
        "noise_multiplier = 1e9",
        "epsilon = 0.0",
        "epsilon = nan",
        "epsilon = inf",
        "epsilon = 1e-9",
        "",
    ],
    "sampling_rate = 0.1": [
        "sampling_rate = 1.1",
        "sampling_rate = 0",
        "sampling_rate = nan",
        "sampling_rate = 'x'",
        "",
    ],
    "clip = 1.0": ["clip = inf", "clip = 0", "clip = -1", "clip = nan"],
    "rounds = 3": ["rounds = 1_000_000_000", "rounds = 0", "rounds = 2.5", "rounds = 'three'", ""],
    "delta = 1e-5": ["delta = 0", "delta = 1", "delta = nan"],
    "rows_per_person = 4": [
        "rows_per_person = 4\nmax_attempts = 2",
        "rows_per_person = 4\nmax_attempts = 1_000_000_000",
    ],
    "learning_rate = 0.1": ["learning_rate = nan", "learning_rate = 0"],
    "min_parties = 2": ["min_parties = 9", "min_parties = 0"],
    'workload = "running_pace"': ['workload = "no_such"', "workload = 3", 'workload = "os"'],
    'purpose = "train-motion-models"': ['purpose = "marketing"', ""],
    'name = "pace"': ['name = "Pace!"', 'name = ""', 'name = "pace"\nunknown = 1', 'name = "pace"\nvalid_days = -1'],
    'party = "coaches"': ['party = "nobody"', 'party = "city-runners"', 'party = "coaches"\npeople = -1', ""],
    'party = "algo-works"': ['party = "algo-works"\npeople = 5'],
    'title = "Running pace from age and course"': [
        'title = "x"\ncoordinator = "me"',
        'title = "x"\nissued_at = 2020-01-01',
    ],
}


@pytest.mark.parametrize(("found", "absurd"), [(key, value) for key, values in ABSURD.items() for value in values])
def test_an_absurd_or_contradicting_task_is_refused_and_not_recorded(
    ready: Any, text: str, found: str, absurd: str
) -> None:
    assert found in text
    with pytest.raises(ManifestError) as caught:
        ready.new_task(text.replace(found, absurd, 1))
    assert "task.toml" in str(caught.value)
    assert ready.store.tasks() == []


def test_privacy_is_never_left_out_by_accident(ready: Any, text: str) -> None:
    without = re.sub(r"\[privacy\].*?\[training\]", "[training]", text, flags=re.DOTALL)
    with pytest.raises(ManifestError, match='write unit = "none"'):
        ready.new_task(without)
    ready.new_task(without.replace("[training]", '[privacy]\nunit = "none"\n[training]'))


@pytest.mark.parametrize(
    ("written", "wrong", "said"),
    [
        (r"rounds = \d+", 'rounds = "three"', "rounds: expected a whole number; found 'three'"),
        (r"rounds = \d+\n", "", "rounds: is missing and has no default"),
        (r"rounds = \d+", 'rounds = 3\nvalid_days = "x"', "valid_days: expected a number; found 'x'"),
        (r"people = \d+", 'people = "200 people"', "cohort.0.people: expected a whole number; found '200 people'"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_key(
    ready: Any, text: str, written: str, wrong: str, said: str
) -> None:
    with pytest.raises(ManifestError) as info:
        ready.new_task(re.sub(written, lambda _: wrong, text, count=1))
    assert f"\n  {said}" in str(info.value)


@pytest.mark.parametrize("data", [b"name = ", b"\xff\xfe", b""])
def test_a_file_that_is_no_task_is_refused(ready: Any, data: bytes) -> None:
    path = ready.folder.path / "bad.toml"
    path.write_bytes(data)
    with pytest.raises((UsageError, ManifestError)):
        tasks.new_task(ready.store, ready.folder, path)
    with pytest.raises(UsageError, match="cannot be read"):
        tasks.new_task(ready.store, ready.folder, path / "missing")


def test_a_revoked_party_cannot_be_in_a_new_cohort(ready: Any) -> None:
    ready.store.revoke("coaches")
    with pytest.raises(ManifestError, match="was revoked"):
        ready.new_task()


def test_a_draft_is_replaced_until_somebody_signed_it(ready: Any, text: str) -> None:
    ready.new_task()
    task = ready.new_task(text.replace("rounds = 3", "rounds = 2"))
    assert ready.store.task("pace").manifest().rounds == 2
    tasks.sign(ready.store, Identity.load(ready.folder.identity_key), "pace")
    with pytest.raises(ManifestError, match="what was signed stays"):
        ready.new_task()
    assert ready.store.task("pace").digest == task.digest


def test_a_task_is_signed_when_both_have_signed(ready: Any) -> None:
    task = ready.new_task()
    assert tasks.sign(ready.store, Identity.load(ready.folder.identity_key), "pace") is TaskState.DRAFT
    ready.sign(task)
    assert ready.store.task("pace").state is TaskState.SIGNED


def test_an_unsigned_task_is_not_launched(ready: Any) -> None:
    task = ready.new_task()
    ready.accept(task, "city-runners", "hill-runners")
    tasks.sign(ready.store, Identity.load(ready.folder.identity_key), "pace")
    with pytest.raises(SignatureError, match="not signed by its algorithm-provider"):
        tasks.require_launchable(ready.store, ready.folder, "pace")


def test_a_task_without_enough_acceptances_is_not_launched(ready: Any) -> None:
    task = ready.new_task()
    ready.sign(task)
    ready.accept(task, "city-runners", "coaches")
    with pytest.raises(
        EnrolmentError, match=r"needs 2 contributing parties, 1 have accepted .*hill-runners, algo-works"
    ):
        tasks.require_launchable(ready.store, ready.folder, "pace")
    ready.accept(task, "hill-runners")
    assert tasks.require_launchable(ready.store, ready.folder, "pace").digest() == task.digest


def test_an_acceptance_of_a_revoked_party_does_not_count(ready: Any) -> None:
    task = ready.new_task()
    ready.sign(task)
    ready.accept(task, "city-runners", "hill-runners")
    ready.store.revoke("hill-runners")
    with pytest.raises(EnrolmentError, match="1 have accepted"):
        tasks.require_launchable(ready.store, ready.folder, "pace")


def test_an_expired_task_is_not_launched(ready: Any) -> None:
    task = ready.new_task()
    ready.sign(task)
    ready.accept(task, "city-runners", "hill-runners")
    ready.clock.forward(days=31)
    with pytest.raises(ManifestError, match="expired"):
        tasks.require_launchable(ready.store, ready.folder, "pace")


def test_a_running_task_is_not_launched_again(ready: Any) -> None:
    task = ready.new_task()
    ready.sign(task)
    ready.store.set_task_state("pace", TaskState.RUNNING)
    with pytest.raises(UsageError, match="running already"):
        tasks.require_launchable(ready.store, ready.folder, "pace")


def test_a_task_changed_in_the_database_is_found(ready: Any) -> None:
    task = ready.new_task()
    with ready.store.transaction() as session:
        changed = task.manifest_json.replace('"rounds":3', '"rounds":4')
        session.connection().exec_driver_sql("UPDATE task SET manifest_json = ?", (changed,))
    with pytest.raises(Exception, match="changed in the database"):
        ready.store.task("pace").manifest()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5, deadline=None)
@given(
    epsilon=st.floats(0.2, 20),
    rate=st.floats(0.01, 1),
    rounds=st.integers(1, 50),
    unit=st.sampled_from(["person", "record"]),
)
def test_computed_terms_never_cost_more_than_was_asked_for(
    ready: Any, text: str, epsilon: float, rate: float, rounds: int, unit: str
) -> None:
    words = text.replace("noise_multiplier = 1.0", f"epsilon = {epsilon}").replace(
        "sampling_rate = 0.1", f"sampling_rate = {rate}"
    )
    words = words.replace("rounds = 3", f"rounds = {rounds}").replace("[privacy]", f'[privacy]\nunit = "{unit}"')
    terms = ready.new_task(words).manifest().privacy
    assert accounting.epsilon(terms.person_cost(), rounds + 1, 1e-5) <= terms.epsilon <= epsilon + 1e-4


def shared(text: str, privacy: str = 'noise = "shared"', people: int = 300) -> str:
    words = text.replace("[privacy]", f"[privacy]\n{privacy}").replace("sampling_rate = 0.1", "sampling_rate = 1.0")
    words = words.replace("min_parties = 2", 'min_parties = 3\nup = "lane"\nup_bits = 16\nsecure = true')
    return words.replace('party = "coaches"', f'party = "coaches"\npeople = {people}')


def test_shared_noise_gets_levels_by_the_size_of_the_model_and_one_party_that_may_collude(
    ready: Any, text: str
) -> None:
    terms = ready.new_task(shared(text)).manifest().privacy
    assert isinstance(terms, PersonTerms)
    assert (terms.noise, terms.colluding) == ("shared", 1)
    size = phases.size(workloads.find("running_pace"), workloads.find("running_pace").phases[0], ())
    assert terms.levels == ample_levels(lane.coordinates(size))
    actual = accounting.epsilon(accounting.SampledSkellam(1.0, 1.0, terms.levels), 4, 1e-5)
    assert actual <= terms.epsilon <= actual + 1e-4


def test_levels_of_the_file_stand_and_noise_is_computed_with_them(ready: Any, text: str) -> None:
    words = shared(text, 'noise = "shared"\nlevels = 20\ncolluding = 0').replace(
        "noise_multiplier = 1.0", "epsilon = 8"
    )
    terms = ready.new_task(words).manifest().privacy
    assert (terms.levels, terms.colluding) == (20, 0)
    assert terms.noise_multiplier == accounting.noise_for(8.0, 1.0, 4, 1e-5, 20)


def test_levels_that_rounding_alone_would_fill_are_refused_with_the_ones_to_write(ready: Any, text: str) -> None:
    with pytest.raises(ManifestError, match=r"found levels = 2 for .* Write levels = \d+ for a rounding error"):
        ready.new_task(shared(text, 'noise = "shared"\nlevels = 2'))
