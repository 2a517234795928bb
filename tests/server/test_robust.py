"""Hostile updates move the mean as they like, the rules hardly; memory of a mean does not grow with the parties."""

from federation import flower

# isort: split
import math
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedMedian, FedTrimmedAvg
from flwr.serverapp.strategy.multikrum import select_multikrum
from hypothesis import given
from hypothesis import strategies as st

from federation import codecs, wire
from federation.errors import RoundFailed, WireError
from federation.ids import Fingerprint, PartyId
from federation.link import Reply
from federation.manifest import Manifest, Member
from federation.messages import TrainRequest, UpdateAnswer
from federation.roles import Role
from federation.terms import PersonTerms, TrainingTerms
from federation.workloads import find
from privacy.noise import gaussian
from server import robust
from server.aggregation import Checked, Total, Updates, advance, check, fold, nothing
from server.coordinator import Model, Run, from_bytes
from server.rounds import run_task
from simulations.parties import Federation
from simulations.seeded import SeededSource
from simulations.specimens import ISSUED, identity, manifest, open_manifest, person_terms

PACE = find("running_pace")
PHASE = PACE.phases[0]
LAB, ARCHIVE, COACH, ALGO = (PartyId(name) for name in ("motion-lab", "wrist-archive", "coach", "algo-works"))
KEY = identity("specimen of a party")
Launch = Callable[..., str]


def crowd(parties: int, people: int = 100) -> tuple[Member, ...]:
    return tuple(
        Member(
            party=PartyId(f"party-{number}"),
            name=f"Party {number}",
            role=Role.DATA_PROVIDER,
            fingerprint=Fingerprint(f"{number:064x}"),
            people=people,
        )
        for number in range(parties)
    )


def task(
    base: Manifest, parties: int, people: int = 100, up: str = "raw32", bits: float = 0.0, **training: Any
) -> Manifest:
    terms = TrainingTerms(learning_rate=0.1, **training)
    exchange = base.exchange.model_copy(update={"up": up, "up_bits": bits})
    return base.model_copy(update={"cohort": crowd(parties, people), "training": terms, "exchange": exchange})


def question() -> TrainRequest:
    return TrainRequest(
        task="0" * 64,
        round=1,
        attempt=0,
        nonce="0" * 32,
        issued_at=ISSUED,
        expires_at=ISSUED,
        model="0" * 64,
        ledger_heads={},
        phase=PHASE.name,
    )


def sent(vector: np.ndarray, party: PartyId, weight: int = 0) -> bytes:
    """`vector` signed and packed."""
    asked = question()
    header = UpdateAnswer(
        task=asked.task,
        round=1,
        attempt=0,
        nonce=asked.nonce,
        party=party,
        ledger_head="0" * 64,
        weight=weight,
        snapshot="0" * 64,
    )
    return wire.pack(header, codecs.find("raw32").encode(vector.astype(np.float32), 0), KEY)


def checked(blob: bytes, size: int, party: PartyId, terms: Manifest) -> Checked:
    """What `sent` sent, checked."""
    return check(blob, KEY.public_key, party, question(), (Run(terms, terms.digest(), PACE), size))


def arrived(vector: np.ndarray, party: PartyId, terms: Manifest, weight: int = 0) -> Checked:
    """`vector` signed, sent and checked."""
    return checked(sent(vector, party, weight), len(vector), party, terms)


Rows = np.ndarray
rows_of_parties = st.tuples(st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 4), st.integers(1, 40))


@given(rows_of_parties, st.sampled_from(sorted(robust.RULES)), st.floats(-1e30, 1e30))
def test_no_rule_leaves_the_range_of_the_honest(made: tuple[int, int, int, int], rule: str, lie: float) -> None:
    seed, hostile, spare, size = made
    random = np.random.default_rng(seed)
    honest = random.standard_normal((hostile + 3 + spare, size)).astype(np.float32)
    lies = np.full((hostile, size), 100 + abs(lie) if lie >= 0 else -100 - abs(lie), np.float32)
    found = robust.RULES[rule](random.permutation(np.concatenate([honest, lies])), hostile)
    assert (found >= honest.min(axis=0) - 1e-6).all()
    assert (found <= honest.max(axis=0) + 1e-6).all()


def test_one_party_moves_the_mean_as_far_as_it_likes() -> None:
    honest = np.ones((4, 3), np.float32)
    rows = np.concatenate([honest, np.full((1, 3), -1e6, np.float32)])
    assert (rows.mean(axis=0) < -1e5).all()
    for name, rule in robust.RULES.items():
        assert rule(rows, 1) == pytest.approx(1.0), name


def test_rules_of_more_than_one_block_are_those_of_all_coordinates_at_once() -> None:
    rows = np.random.default_rng(1).standard_normal((7, robust.BLOCK + 5)).astype(np.float32)
    np.testing.assert_allclose(robust.median(rows, 2), np.median(rows.astype(np.float64), axis=0))
    np.testing.assert_allclose(robust.trimmed_mean(rows, 2), np.sort(rows.astype(np.float64), axis=0)[2:5].mean(axis=0))
    plain = np.square(rows[:, None].astype(np.float64) - rows[None]).sum(axis=-1)
    np.testing.assert_allclose(robust._squared_distances(rows), plain, atol=1e-6 * plain.max())


def flower_replies(rows: Rows) -> list[Any]:
    """The rows as what Flower's strategies read of their clients' replies."""
    contents = [
        RecordDict({"arrays": ArrayRecord({"w": Array(row)}), "metrics": MetricRecord({"num-examples": 1})})
        for row in rows
    ]
    return [SimpleNamespace(content=content, has_error=lambda: False) for content in contents]


@pytest.mark.parametrize(("parties", "hostile"), [(5, 1), (9, 3), (12, 2)])
def test_rules_agree_with_flowers_strategies(parties: int, hostile: int) -> None:
    assert flower  # sets Flower's switches before it is imported
    random = np.random.default_rng(parties)
    rows = random.standard_normal((parties, 50)).astype(np.float32)
    rows[:hostile] += 20 * random.standard_normal((hostile, 50)).astype(np.float32)
    for ours, theirs in (
        (robust.median, FedMedian()),
        (robust.trimmed_mean, FedTrimmedAvg(beta=(hostile + 0.5) / parties)),
    ):
        arrays, _ = theirs.aggregate_train(1, flower_replies(rows))
        assert arrays is not None
        np.testing.assert_allclose(ours(rows, hostile), arrays["w"].numpy(), atol=1e-6)
    chosen = select_multikrum([reply.content for reply in flower_replies(rows)], hostile, parties - hostile - 2)
    mean = np.mean([record["arrays"]["w"].numpy() for record in chosen], axis=0)
    np.testing.assert_allclose(robust.multi_krum(rows, hostile), mean, atol=1e-6)


TERMS = [
    {},
    {"sampling_rate": 1.0, "noise_multiplier": 0.5},
    {"sampling_rate": 0.02, "noise_multiplier": 2.0},
]


@pytest.mark.parametrize("changes", TERMS)
@pytest.mark.parametrize("size", [10, 20_000])
def test_honest_updates_are_never_cut(changes: Mapping[str, float], size: int) -> None:
    terms = person_terms(**changes)
    base = manifest().model_copy(update={"privacy": terms})
    longest = robust.longest(task(base, 3), PHASE, PartyId("party-0"), size)
    random, lengths = np.random.default_rng(1), []
    for trial in range(20):
        drawn = random.binomial(100, terms.sampling_rate)
        vector = terms.noise_multiplier * gaussian(size, SeededSource(trial))
        vector[0] += drawn  # everybody at the clip, in one direction
        lengths.append(terms.clip * float(np.linalg.norm(vector)))
    assert max(lengths) < longest
    assert longest < 2.5 * max(lengths) + 7 * terms.clip * terms.noise_multiplier + 15 * terms.clip


@pytest.mark.parametrize(("up", "bits"), [("urq", 0.05), ("urq", 1.0), ("int8_block", 0.0), ("raw16", 0.0)])
def test_codecs_that_lengthen_updates_do_not_get_honest_ones_cut(up: str, bits: float) -> None:
    terms = manifest().privacy
    assert isinstance(terms, PersonTerms)
    made = task(manifest(), 3, people=1, up=up, bits=bits)
    size, codec = 30_000, codecs.find(up, bits)
    longest = robust.longest(made, PHASE, PartyId("party-0"), size)
    for trial in range(3):
        vector = (terms.clip * terms.noise_multiplier * gaussian(size, SeededSource(trial))).astype(np.float32)
        assert robust.cut(codec.decode(codec.encode(vector, trial), size, trial), longest) == 1.0


def test_an_update_beyond_what_people_and_noise_can_reach_is_cut() -> None:
    terms, party = task(manifest(), 3), PartyId("party-1")
    longest = robust.longest(terms, PHASE, party, 1000)
    vector = np.random.default_rng(1).standard_normal(1000) * 1e6
    found = arrived(vector, party, terms)
    assert robust.length(found.vector) * found.weight == pytest.approx(longest)
    assert "cut to" in found.words()
    assert arrived(np.ones(1000), party, terms).words() == ""


def test_a_public_update_is_cut_at_the_public_weight_and_one_on_nobody_not_at_all() -> None:
    base = manifest()
    assert isinstance(base.privacy, PersonTerms)
    maker = next(member for member in base.cohort if member.role is Role.ALGORITHM_PROVIDER)
    base = base.model_copy(update={"exchange": base.exchange.model_copy(update={"up": "raw32"})})
    found = robust.longest(base, PHASE, maker.party, 10)
    assert found == pytest.approx(base.training.public_weight * base.privacy.clip * robust.ROUNDING)
    assert robust.longest(base, replace(PHASE, reads_people=False), maker.party, 10) == math.inf


def test_a_limit_of_a_task_without_privacy_cuts_only_longer_updates() -> None:
    terms, party = task(open_manifest(), 3, norm_limit=2.0), PartyId("party-0")
    long = arrived(np.full(4, 5.0), party, terms, weight=7)
    assert robust.length(long.vector) * long.weight == pytest.approx(2.0 * 100)
    short = arrived(np.full(4, 0.5), party, terms, weight=7)
    assert short.weight == 100
    assert robust.longest(task(open_manifest(), 3), PHASE, party, 4) == math.inf


def test_rows_buy_no_voice_where_hostile_parties_are_reckoned_with() -> None:
    greedy = task(open_manifest(), 5, aggregation="trimmed-mean", byzantine=1)
    assert arrived(np.ones(4), PartyId("party-0"), greedy, weight=10**9).weight == 100
    trusting = task(open_manifest(), 5)
    assert arrived(np.ones(4), PartyId("party-0"), trusting, weight=10**9).weight == 10**9


def moved_by(terms: Manifest, vectors: Mapping[PartyId, np.ndarray]) -> np.ndarray:
    """How far a round with these updates moves weights of zero."""
    total = nothing(terms, PHASE, 4, len(vectors))
    for party, vector in vectors.items():
        total = fold(total, arrived(vector, party, terms, weight=3))
    weights = {"w": PACE.initial(0)[next(iter(PACE.initial(0)))].new_zeros(4)}
    return advance(Model(0, weights), ["w"], total, terms, PHASE).weights["w"].numpy()


@pytest.mark.parametrize("rule", sorted(robust.RULES))
@pytest.mark.parametrize("base", [manifest(), open_manifest()], ids=["person", "none"])
def test_one_hostile_party_of_five_changes_nothing_that_honest_parties_agree_on(base: Manifest, rule: str) -> None:
    terms = task(base, 5, aggregation=rule, byzantine=1)
    units = terms.stands_for([terms.cohort[0]]) if isinstance(base.privacy, PersonTerms) else 1.0
    vectors = {member.party: np.full(4, 0.1 * units) for member in terms.cohort}
    agreed = moved_by(terms, vectors)
    np.testing.assert_allclose(agreed, 0.1, rtol=1e-6)
    vectors[PartyId("party-3")] = np.full(4, -1e6)
    np.testing.assert_allclose(moved_by(terms, vectors), agreed, rtol=1e-6)
    mean = task(base, 5)
    assert moved_by(mean, vectors)[0] < 0.05


def test_a_missing_party_shrinks_the_step_of_a_rule_under_privacy_terms() -> None:
    terms = task(manifest(), 5, aggregation="median", byzantine=1)
    units = terms.stands_for([terms.cohort[0]])
    vectors = {member.party: np.full(4, 0.1 * units) for member in terms.cohort[:4]}
    np.testing.assert_allclose(moved_by(terms, vectors), 0.1 * 4 / 5, rtol=1e-6)


@pytest.mark.parametrize("training", [{}, {"aggregation": "median"}])
def test_a_second_answer_is_refused_whatever_it_is_folded_into(training: Mapping[str, str]) -> None:
    terms = task(manifest(), 3, **training)
    update = arrived(np.ones(4), PartyId("party-0"), terms)
    once = fold(nothing(terms, PHASE, 4, 3), update)
    with pytest.raises(WireError, match="answered twice"):
        fold(once, update)


def test_rounds_on_nobody_are_means() -> None:
    terms = task(manifest(), 3, aggregation="median")
    assert isinstance(nothing(terms, PHASE, 4, 3), Updates)
    assert isinstance(nothing(terms, replace(PHASE, reads_people=False), 4, 3), Total)


def test_a_rule_says_beforehand_that_its_updates_do_not_fit() -> None:
    parties = psutil.virtual_memory().total // (4 * 10**6) + 1
    with pytest.raises(RoundFailed, match=r"compares \d+ updates of 1000000 values, [\d.]+ GiB; .* free here"):
        robust.room(parties, 10**6)


@given(st.integers(0, 10**6), st.floats(-1e6, 1e6), st.integers(1, 3 * robust.BLOCK))
def test_adding_in_blocks_is_adding(seed: int, weight: float, size: int) -> None:
    random = np.random.default_rng(seed)
    total, vector = random.standard_normal(size), random.standard_normal(size).astype(np.float32)
    expected = total + weight * vector.astype(np.float64)
    robust.add(total, vector, weight)
    np.testing.assert_array_equal(total, expected)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_lengths_neither_overflow_nor_vanish(scale: float) -> None:
    vector = (np.random.default_rng(1).standard_normal(robust.BLOCK + 7) * scale).astype(np.float32)
    assert robust.length(vector) == pytest.approx(float(np.linalg.norm(vector.astype(np.float64))), rel=1e-5)


def test_memory_of_a_mean_does_not_grow_with_the_parties(tmp_path: Path) -> None:
    size = 2**18
    few, many = (peak_bytes(parties, size, tmp_path) for parties in (2, 24))
    message = 4 * size
    assert many - few < message / 8
    assert many < 4.2 * message  # the sum in float64 is as long as two; a message, and its payload


def peak_bytes(parties: int, size: int, folder: Path) -> int:
    """The most memory at once of folding so many answers, each read from a file as it arrives."""
    terms = task(open_manifest(), parties)
    for member in terms.cohort:
        (folder / member.party).write_bytes(sent(np.ones(size), member.party, weight=1))
    arrived(np.ones(3), terms.cohort[0].party, terms, weight=1)  # imports what is imported on first use
    tracemalloc.start()
    try:
        total = nothing(terms, PHASE, size, parties)
        for member in terms.cohort:
            total = fold(total, checked((folder / member.party).read_bytes(), size, member.party, terms))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def hostile(federation: Federation, party: PartyId) -> Callable[[PartyId, bytes], list[Reply]]:
    """The party's own answer, its update replaced by an enormous one and signed again."""
    node = federation.nodes[party]

    def fault(_: PartyId, blob: bytes) -> list[Reply]:
        header, payload = wire.read_answer(blob, node.identity.public_key, 1 << 20)
        if isinstance(header, UpdateAnswer):
            payload = np.full(len(payload) // 4, 1e9, "<f4").tobytes()
        return [Reply(party, wire.pack(header, payload, node.identity))]

    return fault


def steps(federation: Federation, name: str) -> Iterator[float]:
    """How far each round moved the weights."""
    store = federation.coordinator.store
    models = [from_bytes(row.round, store.model(row.model)).weights for row in store.rounds(store.task(name).digest)]
    for before, after in pairwise(models):
        yield math.sqrt(sum(float((after[key] - before[key]).square().sum()) for key in before))


def test_a_node_that_ignores_its_clip_is_cut_and_named(federation: Federation, launch: Launch) -> None:
    name = launch(rounds=1)
    federation.link.faults[LAB] = hostile(federation, LAB)
    run_task(federation.coordinator, federation.link, name)
    made = federation.coordinator.store.task(name)
    rows = {row.party: row for row in federation.coordinator.store.party_rounds(made.digest) if row.kind == "train"}
    assert rows[LAB].outcome == "answered"
    assert rows[LAB].code.startswith("longer than agreed, cut to ")
    assert not rows[ARCHIVE].code
    [step] = steps(federation, name)
    assert step < 10  # ∥update∥ is 10⁹ times √parameters


def test_a_round_by_median_withstands_a_hostile_party(federation: Federation, launch: Launch) -> None:
    training = {"learning_rate": 0.05, "public_weight": 1.0, "public_people": 4}
    robustly = {"aggregation": "median", "byzantine": 1}
    open_terms = {"name": "plain", "privacy": {"unit": "none"}, "rounds": 1}
    name = launch(**open_terms, training=training | robustly)
    federation.link.faults[LAB] = hostile(federation, LAB)
    run_task(federation.coordinator, federation.link, name)
    [step] = steps(federation, name)
    assert step < 10


def test_a_mean_does_not(federation: Federation, launch: Launch) -> None:
    name = launch(name="plain", privacy={"unit": "none"}, rounds=1)
    federation.link.faults[LAB] = hostile(federation, LAB)
    run_task(federation.coordinator, federation.link, name)
    [step] = steps(federation, name)
    assert step > 1e6


def test_too_few_for_the_rule_fail_the_round(federation: Federation, launch: Launch) -> None:
    training = {"learning_rate": 0.05, "public_weight": 1.0, "aggregation": "median", "byzantine": 1}
    name = launch(training=training, round_deadline_s=0.2)
    federation.link.absent |= {COACH, ALGO}
    federation.link.faults[LAB] = hostile(federation, LAB)
    with pytest.raises(RoundFailed):
        run_task(federation.coordinator, federation.link, name)
