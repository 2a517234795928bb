"""Secrets of secure rounds: made for one attempt, gone as soon as they masked an update.

Who was in that attempt and who survived is kept until the attempt after the next, for whoever asks again after a crash.
"""

import json
from collections.abc import Sequence

from pydantic import TypeAdapter
from sqlmodel import Session, col, delete

from clients.store.records import Dealt, MaskState
from clients.store.tables import MaskRow
from federation.errors import Refusal, Refused
from federation.ids import PartyId, TaskDigest
from federation.messages import Advertisement
from privacy.secagg.secrets import Secrets

ROSTER: TypeAdapter[tuple[Advertisement, ...]] = TypeAdapter(tuple[Advertisement, ...])
KEPT_ATTEMPTS = 2


def add(tx: Session, task: TaskDigest, attempt: int, dealt: Dealt) -> None:
    """Keep the secrets for an attempt, in place of others that masked nothing; those of old attempts are deleted."""
    before = tx.get(MaskRow, (task, attempt))
    if before is not None and before.context is not None:
        raise Refused(
            Refusal.REPLAYED, f"attempt {attempt} of task {task[:12]} was masked already; it gets no other mask key."
        )
    tx.exec(delete(MaskRow).where(col(MaskRow.task) == task, col(MaskRow.attempt) <= attempt - KEPT_ATTEMPTS))
    tx.merge(
        MaskRow(
            task=task,
            attempt=attempt,
            mask_seed=dealt.secrets.mask_seed,
            self_seed=dealt.secrets.self_seed,
            own_shares=dealt.own_shares,
            seal_keys=json.dumps(dealt.seal_keys),
        )
    )
    tx.flush()


def find(tx: Session, task: TaskDigest, attempt: int) -> MaskState:
    """Where this node stands in an attempt, or `Refused` where it has no secrets for it."""
    row = tx.get(MaskRow, (task, attempt))
    if row is None:
        raise Refused(
            Refusal.ATTEMPT_LOST,
            f"this node has no mask key for attempt {attempt} of task {task[:12]}; it is prepared anew for the next.",
        )
    return MaskState(
        Secrets(row.mask_seed, row.self_seed) if row.mask_seed else None,
        row.own_shares,
        row.context,
        {PartyId(party): key for party, key in json.loads(row.seal_keys).items()},
        {found.party: found for found in ROSTER.validate_json(row.roster)},
        None if row.survivors is None else tuple(PartyId(party) for party in json.loads(row.survivors)),
    )


def use(tx: Session, task: TaskDigest, attempt: int, context: bytes, roster: Sequence[Advertisement]) -> None:
    """Note what the secrets masked, and delete them: what they hid stays hidden, whoever gets hold of this file."""
    row = tx.get_one(MaskRow, (task, attempt))
    if row.context is not None:
        raise Refused(Refusal.REPLAYED, f"the mask of attempt {attempt} of task {task[:12]} was used before.")
    row.context, row.mask_seed, row.self_seed = context, b"", b""
    row.roster = ROSTER.dump_json(tuple(roster)).decode()
    tx.add(row)
    tx.flush()


def decide(tx: Session, task: TaskDigest, attempt: int, survivors: tuple[PartyId, ...]) -> None:
    """Note the one list of survivors that this node bears out; `Refused` if it bore out another one."""
    row, words = tx.get_one(MaskRow, (task, attempt)), json.dumps(survivors)
    if row.survivors is not None and row.survivors != words:
        raise Refused(
            Refusal.UNSAFE,
            f"attempt {attempt} of task {task[:12]} is said to have survivors {', '.join(survivors)}, but this node "
            f"was told {', '.join(json.loads(row.survivors))} before: with both, one party's update would be bared.",
        )
    row.survivors = words
    tx.add(row)
    tx.flush()


def forget_task(tx: Session, task: TaskDigest) -> None:
    """Delete all secrets of a task."""
    tx.exec(delete(MaskRow).where(col(MaskRow.task) == task))
