"""Logs that were cut, rewritten or rolled back do not verify (RFC 9162)."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation import audit
from federation.errors import AuditError, SignatureError
from simulations.specimens import EXPIRES, RUNNERS, checkpoint, identity

# Entries and roots of the certificate-transparency reference tests (RFC 6962 and RFC 9162 hash alike).
ENTRIES = [
    bytes.fromhex(entry)
    for entry in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)  # fmt: skip


def leaves(count: int) -> list[bytes]:
    return [audit.leaf_hash(str(number).encode()) for number in range(count)]


def test_roots_are_those_of_the_reference():
    hashes = [audit.leaf_hash(entry) for entry in ENTRIES]
    assert [audit.root(hashes[: size + 1]).hex() for size in range(8)] == list(ROOTS)
    assert audit.root([]) == hashlib.sha256(b"").digest()


def test_an_inner_node_does_not_pass_as_an_entry():
    pair = leaves(2)
    assert audit.leaf_hash(pair[0] + pair[1]) != audit.root(pair)


@pytest.mark.parametrize("size", range(1, 20))
def test_every_entry_has_a_proof(size):
    log = leaves(size)
    for index in range(size):
        proof = audit.inclusion_proof(log, index)
        assert len(proof) <= (size - 1).bit_length()
        audit.verify_inclusion(log[index], index, size, proof, audit.root(log))


@given(st.integers(1, 40), st.data())
def test_proof_of_another_entry_place_size_or_root_fails(size, data):
    log = leaves(size)
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    proof, top = audit.inclusion_proof(log, index), audit.root(log)
    wrong = [
        (audit.leaf_hash(b"x"), index, size, proof, top),
        (log[index], index, size, proof, audit.leaf_hash(b"x")),
        (log[index], index, size, (*proof, top), top),
    ]
    if other != index:
        wrong.append((log[index], other, size, proof, top))
    if proof:
        wrong.append((log[index], index, size, proof[:-1], top))
        wrong.append((log[index], index, size, (audit.leaf_hash(b"x"), *proof[1:]), top))
    for case in wrong:
        with pytest.raises(AuditError):
            audit.verify_inclusion(*case)


@pytest.mark.parametrize("size", range(1, 20))
def test_every_earlier_state_is_shown_to_be_a_beginning(size):
    log = leaves(size)
    for old in range(size + 1):
        proof = audit.consistency_proof(log, old)
        audit.verify_consistency(old, audit.root(log[:old]), size, audit.root(log), proof)


@given(st.integers(2, 40), st.data())
def test_a_rewritten_log_is_found(size, data):
    log = leaves(size)
    old = data.draw(st.integers(1, size - 1))
    changed = data.draw(st.integers(0, old - 1))
    rewritten = [*log[:changed], audit.leaf_hash(b"x"), *log[changed + 1 :]]
    proof = audit.consistency_proof(rewritten, old)
    with pytest.raises(AuditError, match="earlier entries were rewritten"):
        audit.verify_consistency(old, audit.root(log[:old]), size, audit.root(rewritten), proof)
    honest = audit.consistency_proof(log, old)
    for damaged in (honest[:-1], (*honest, audit.leaf_hash(b"x")), (audit.leaf_hash(b"x"), *honest[1:])):
        with pytest.raises(AuditError):
            audit.verify_consistency(old, audit.root(log[:old]), size, audit.root(log), damaged)


def test_a_log_that_was_cut_is_found():
    log = leaves(5)
    with pytest.raises(AuditError, match="had 5 entries before and has 3 now: it was cut or rolled back"):
        audit.verify_consistency(5, audit.root(log), 3, audit.root(log[:3]), ())
    with pytest.raises(AuditError, match="cannot have grown from 6; was it cut off"):
        audit.consistency_proof(log, 6)


def test_two_logs_of_one_size_are_found():
    with pytest.raises(AuditError, match="two different logs of the same size"):
        audit.verify_consistency(3, audit.root(leaves(3)), 3, audit.root(leaves(4)[1:]), ())
    with pytest.raises(AuditError, match="two different logs of the same size"):
        audit.verify_consistency(0, audit.leaf_hash(b"x"), 3, audit.root(leaves(3)), ())


@pytest.mark.parametrize("proof", [(b"\0" * 31,), (b"\0" * 32,) * 65])
def test_absurd_proofs_are_refused_before_they_are_hashed(proof):
    with pytest.raises(AuditError, match="at most 64 hashes of 32 bytes each"):
        audit.verify_inclusion(leaves(1)[0], 0, 2, proof, b"")
    with pytest.raises(AuditError, match="at most 64 hashes of 32 bytes each"):
        audit.verify_consistency(1, b"", 2, b"", proof)


@pytest.mark.parametrize("index", [-1, 3])
def test_an_entry_outside_the_log_has_no_proof(index):
    with pytest.raises(AuditError, match=f"entry {index} of a log of 3 entries"):
        audit.inclusion_proof(leaves(3), index)
    with pytest.raises(AuditError, match=f"entry {index} of a log of 3 entries"):
        audit.verify_inclusion(leaves(3)[0], index, 3, (), b"")


def test_checkpoint_is_signed_by_the_owner_of_the_log():
    signed, owner = audit.parse_checkpoint(checkpoint().model_dump_json()), identity(RUNNERS)
    audit.verify_checkpoint(signed, owner.public_key)
    for change in ({"size": 4}, {"root": "0" * 64}, {"at": EXPIRES}, {"signature": "0" * 128}):
        with pytest.raises(SignatureError, match="does not fit the bytes"):
            audit.verify_checkpoint(signed.model_copy(update=change), owner.public_key)
    with pytest.raises(SignatureError, match="does not fit the bytes"):
        audit.verify_checkpoint(signed, identity("eve").public_key)


def test_nonsense_is_no_checkpoint():
    with pytest.raises(AuditError, match="this is not a valid checkpoint"):
        audit.parse_checkpoint(b"{}")
