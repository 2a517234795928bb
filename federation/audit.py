"""Merkle trees over a log's entries (RFC 9162, section 2.1): truncation, rewriting and rollback are found.

A log keeps the 32-byte leaf hash of every entry. Its root commits to all of them in order; a signed checkpoint
commits its owner to the root. A proof shows that an entry is in the log, or that a log only grew.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field, ValidationError

from federation.errors import AuditError
from federation.manifest import explain
from federation.signing import Identity, SignatureHex, canonical, verify
from federation.terms import HEX64, Part

CHECKPOINT = "paceline/checkpoint/1"
MAX_PROOF_HASHES = 64


def leaf_hash(entry: bytes) -> bytes:
    """Hash of one entry; the prefix keeps an inner node from passing as an entry."""
    return hashlib.sha256(b"\0" + entry).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Root of the tree over these leaf hashes, in order; of no leaves SHA-256 of nothing."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    # Complete subtrees from left to right, as in a binary counter: (leaves below, hash).
    subtrees: list[tuple[int, bytes]] = []
    for leaf in leaves:
        subtrees.append((1, leaf))
        while len(subtrees) > 1 and subtrees[-2][0] == subtrees[-1][0]:
            count, right = subtrees.pop()
            subtrees[-1] = (2 * count, _node(subtrees[-1][1], right))
    total = subtrees[-1][1]
    for _, left in reversed(subtrees[:-1]):
        total = _node(left, total)
    return total


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Hashes that lead from leaf `index` to the root, lowest first (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < len(leaves):
        raise AuditError(f"entry {index} of a log of {len(leaves)} entries; expected 0 to {len(leaves) - 1}.")
    if len(leaves) == 1:
        return ()
    split = _split(len(leaves))
    if index < split:
        return (*inclusion_proof(leaves[:split], index), root(leaves[split:]))
    return (*inclusion_proof(leaves[split:], index - split), root(leaves[:split]))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> None:
    """Raise `AuditError` unless `leaf` is entry `index` of the log with this size and root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise AuditError(f"entry {index} of a log of {size} entries cannot be; the proof is of another log.")
    found, last, hashes = leaf, size - 1, _proof_hashes(proof)
    for sibling in hashes:
        if last == 0:
            raise AuditError("the inclusion proof is too long for a log of this size.")
        if index & 1 or index == last:
            found = _node(sibling, found)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            found = _node(found, sibling)
        index, last = index >> 1, last >> 1
    if last or found != expected_root:
        raise AuditError("the entry is not in the log with this root: the log was rewritten, or the proof is damaged.")


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """Hashes that show that the first `old_size` entries are unchanged (RFC 9162, 2.1.4.1)."""
    if not 0 <= old_size <= len(leaves):
        raise AuditError(f"a log of {len(leaves)} entries cannot have grown from {old_size}; was it cut off?")
    return () if old_size in (0, len(leaves)) else _subproof(leaves, old_size, True)


def verify_consistency(old_size: int, old_root: bytes, size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise `AuditError` unless the log of `size` only appended to that of `old_size` (RFC 9162, 2.1.4.2)."""
    if not 0 <= old_size <= size:
        raise AuditError(f"the log had {old_size} entries before and has {size} now: it was cut or rolled back.")
    if old_size in (0, size):
        same = old_root == (root(()) if old_size == 0 else new_root)
        if proof or not same:
            raise AuditError("two different logs of the same size: the log was rewritten.")
        return
    if (old_root, new_root) != _roots_of_proof(old_size, old_root, size, proof):
        raise AuditError("the log is not a continuation of the one seen before: earlier entries were rewritten.")


class Checkpoint(Part):
    """What a log's owner signs: at this moment it had `size` entries with this `root`."""

    size: Annotated[int, Field(ge=0, lt=2**53)]
    root: Annotated[str, Field(pattern=HEX64)]
    at: AwareDatetime
    signature: SignatureHex


def sign_checkpoint(identity: Identity, size: int, root_hash: bytes, at: datetime) -> Checkpoint:
    """The owner of a log commits to its present state."""
    unsigned = Checkpoint(size=size, root=root_hash.hex(), at=at, signature="0" * 128)
    return unsigned.model_copy(update={"signature": identity.sign(CHECKPOINT, _body(unsigned)).hex()})


def parse_checkpoint(data: bytes | str) -> Checkpoint:
    """A checkpoint from JSON text, or `AuditError`; its signature is not checked yet."""
    try:
        return Checkpoint.model_validate_json(data)
    except ValidationError as error:
        raise AuditError(explain(error, "checkpoint")) from error


def verify_checkpoint(checkpoint: Checkpoint, public_key: bytes) -> None:
    """Raise `SignatureError` unless the owner of `public_key` signed `checkpoint`."""
    verify(public_key, CHECKPOINT, _body(checkpoint), bytes.fromhex(checkpoint.signature))


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _split(size: int) -> int:
    """Largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _subproof(leaves: Sequence[bytes], old_size: int, whole: bool) -> tuple[bytes, ...]:
    if old_size == len(leaves):
        return () if whole else (root(leaves),)
    split = _split(len(leaves))
    if old_size <= split:
        return (*_subproof(leaves[:split], old_size, whole), root(leaves[split:]))
    return (*_subproof(leaves[split:], old_size - split, False), root(leaves[:split]))


def _roots_of_proof(old_size: int, old_root: bytes, size: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Old and new root as the proof builds them, for 0 < old_size < size."""
    hashes, old, last = _proof_hashes(proof), old_size - 1, size - 1
    while old & 1:
        old, last = old >> 1, last >> 1
    start = old_root if old_size & (old_size - 1) == 0 else next(hashes, b"")
    old_found = new_found = start
    for sibling in hashes:
        if last == 0:
            raise AuditError("the consistency proof is too long for logs of these sizes.")
        if old & 1 or old == last:
            old_found, new_found = _node(sibling, old_found), _node(sibling, new_found)
            while not old & 1 and old:
                old, last = old >> 1, last >> 1
        else:
            new_found = _node(new_found, sibling)
        old, last = old >> 1, last >> 1
    if last:
        raise AuditError("the consistency proof is too short for logs of these sizes.")
    return old_found, new_found


def _proof_hashes(proof: Sequence[bytes]) -> Iterator[bytes]:
    if len(proof) > MAX_PROOF_HASHES or any(len(item) != 32 for item in proof):
        raise AuditError(f"a proof holds at most {MAX_PROOF_HASHES} hashes of 32 bytes each; this one does not.")
    return iter(proof)


def _body(checkpoint: Checkpoint) -> bytes:
    return canonical(checkpoint.model_dump(mode="json", exclude={"signature"}))
