"""Secrets of secure rounds mask one update, bear out one list, and are gone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from clients.node import Agreed, Node
from clients.settings import NodeFolder
from clients.store import Dealt, NodeStore, masks, open_store
from clients.updates import _sendable
from federation.errors import PrivacyError, Refusal, Refused
from federation.ids import PartyId, TaskDigest
from privacy.fixed_point import no_integers
from privacy.secagg.secrets import Secrets
from privacy.skellam import add_share
from simulations import secure_specimens
from simulations.seeded import SeededSource

TASK, OTHER = TaskDigest("ab" * 32), TaskDigest("cd" * 32)
ROSTER = secure_specimens.train_request().roster or ()
LEFT = (PartyId("runners-1"), PartyId("runners-2"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    with open_store(NodeFolder(tmp_path)) as opened:
        yield opened


SOURCE = SeededSource(1)


def dealt() -> Dealt:
    return Dealt(Secrets.fresh(SOURCE), b"own shares", {PartyId("runners-2"): "ef" * 32})


def refused(act: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as found:
        act()
    return found.value


def test_secrets_mask_once_and_are_replaced_only_before(store: NodeStore) -> None:
    first, second = dealt(), dealt()
    with store.transaction() as tx:
        masks.add(tx, TASK, 3, first)
        masks.add(tx, TASK, 3, second)
        found = masks.find(tx, TASK, 3)
        assert found.secrets is not None
        assert found.secrets.mask_seed == second.secrets.mask_seed
        assert (found.own_shares, found.seal_keys, found.context) == (b"own shares", second.seal_keys, None)
        masks.use(tx, TASK, 3, b"context", ROSTER)
        found = masks.find(tx, TASK, 3)
        assert (found.secrets, found.context) == (None, b"context")
        assert tuple(found.roster.values()) == ROSTER
        again = refused(lambda: masks.use(tx, TASK, 3, b"another", ROSTER))
        assert again.code is Refusal.REPLAYED
        assert "the mask of attempt 3 of task abababababab was used before" in str(again)
        more = refused(lambda: masks.add(tx, TASK, 3, dealt()))
        assert more.code is Refusal.REPLAYED
        assert masks.find(tx, TASK, 3) == found


def test_one_list_of_survivors_is_borne_out(store: NodeStore) -> None:
    with store.transaction() as tx:
        masks.add(tx, TASK, 0, dealt())
        masks.use(tx, TASK, 0, b"context", ROSTER)
        masks.decide(tx, TASK, 0, LEFT)
        masks.decide(tx, TASK, 0, LEFT)
        other = refused(lambda: masks.decide(tx, TASK, 0, LEFT[:1]))
        assert other.code is Refusal.UNSAFE
        assert "said to have survivors runners-1, but this node was told runners-1, runners-2 before" in str(other)
        assert masks.find(tx, TASK, 0).survivors == LEFT


def test_an_attempt_that_is_long_over_is_forgotten_and_another_task_is_not(store: NodeStore) -> None:
    with store.transaction() as tx:
        for task in (TASK, OTHER):
            masks.add(tx, task, 0, dealt())
        for attempt in (1, 2):
            masks.add(tx, TASK, attempt, dealt())
        lost = refused(lambda: masks.find(tx, TASK, 0))
        assert lost.code is Refusal.ATTEMPT_LOST
        assert "no mask key for attempt 0 of task abababababab" in str(lost)
        assert [masks.find(tx, *place).secrets is not None for place in ((TASK, 1), (TASK, 2), (OTHER, 0))] == [
            True
        ] * 3
        masks.forget_task(tx, TASK)
        for attempt in (1, 2):
            assert refused(lambda number=attempt: masks.find(tx, TASK, number)).code is Refusal.ATTEMPT_LOST
        assert masks.find(tx, OTHER, 0).secrets is not None


def test_a_share_of_the_noise_never_leaves_without_masks() -> None:
    """Alone it is a part of what ε needs."""
    share = add_share(no_integers(32, 64), 2.0, 3, SOURCE)
    with pytest.raises(PrivacyError, match="leaves under masks only; nothing was sent"):
        _sendable(cast(Node, None), cast(Agreed, None), share, None)
