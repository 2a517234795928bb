"""What is sealed is read by its one receiver, once, in its context, and only as it was sent."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.errors import SecaggError
from privacy.noise import os_source
from privacy.secagg.sealing import OVERHEAD_BYTES, seal, unseal
from privacy.secagg.secrets import public_key

SOURCE = os_source()
SENDER, RECEIVER, OTHER = (SOURCE.read(32) for _ in range(3))
CONTEXT = b"task, round 3, attempt 1"
SHARES = b"two shares of thirty-three bytes"


def sealed(plaintext=SHARES, context=CONTEXT):
    return seal(SENDER, public_key(RECEIVER), context, plaintext)


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_the_receiver_reads_what_was_sealed(plaintext):
    data = sealed(plaintext)
    assert len(data) == len(plaintext) + OVERHEAD_BYTES
    assert unseal(RECEIVER, public_key(SENDER), CONTEXT, data) == plaintext


@pytest.mark.parametrize(
    ("private", "peer", "context"),
    [
        (OTHER, SENDER, CONTEXT),
        (RECEIVER, OTHER, CONTEXT),
        (RECEIVER, SENDER, b"task, round 3, attempt 2"),
        (RECEIVER, SENDER, CONTEXT + b"\0"),
        (SENDER, RECEIVER, CONTEXT),
    ],
    ids=["another receiver", "another sender", "another attempt", "a longer context", "reflected to its sender"],
)
def test_another_receiver_sender_context_or_direction_reads_nothing(private, peer, context):
    with pytest.raises(SecaggError, match="not sealed for us by this peer in this round"):
        unseal(private, public_key(peer), context, sealed())


def test_the_two_directions_of_a_pair_have_a_key_each():
    there, back = sealed(), seal(RECEIVER, public_key(SENDER), CONTEXT, SHARES)
    assert there != back
    assert unseal(SENDER, public_key(RECEIVER), CONTEXT, back) == SHARES
    assert unseal(RECEIVER, public_key(SENDER), CONTEXT, there) == SHARES


def test_a_changed_byte_anywhere_is_found():
    data = sealed()
    for place in range(len(data)):
        for bit in (1, 128):
            changed = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
            with pytest.raises(SecaggError, match="not sealed for us"):
                unseal(RECEIVER, public_key(SENDER), CONTEXT, changed)


@pytest.mark.parametrize("edit", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: data[1:]])
def test_a_message_cut_off_or_continued_is_found(edit):
    with pytest.raises(SecaggError, match="not sealed for us"):
        unseal(RECEIVER, public_key(SENDER), CONTEXT, edit(sealed()))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=120), st.binary(min_size=30, max_size=34))
def test_whatever_comes_as_a_message_or_a_key_is_refused_cleanly(data, peer):
    with pytest.raises(SecaggError):
        unseal(RECEIVER, peer, CONTEXT, data)


@pytest.mark.parametrize("data", [b"", bytes(16), None, "text"])
def test_what_cannot_be_a_sealed_message_is_refused(data):
    with pytest.raises(SecaggError, match="no sealed message; expected more than 16 bytes"):
        unseal(RECEIVER, public_key(SENDER), CONTEXT, data)


@pytest.mark.parametrize("plaintext", [b"", None, "text"])
def test_nothing_is_not_sealed(plaintext):
    with pytest.raises(SecaggError, match="nothing to seal"):
        sealed(plaintext)


@pytest.mark.parametrize("context", [b"", None])
def test_no_message_is_sealed_without_a_context(context):
    with pytest.raises(SecaggError, match="no context"):
        sealed(context=context)
    with pytest.raises(SecaggError, match="no context"):
        unseal(RECEIVER, public_key(SENDER), context, sealed())


def test_our_own_key_in_place_of_a_peers_is_refused():
    # Else our shares for this peer could be handed back to us as those of the peer.
    with pytest.raises(SecaggError, match="public key of a peer is our own"):
        seal(SENDER, public_key(SENDER), CONTEXT, SHARES)
    with pytest.raises(SecaggError, match="public key of a peer is our own"):
        unseal(SENDER, public_key(SENDER), CONTEXT, sealed())


def test_our_own_key_in_another_spelling_gives_no_message_back():
    own = public_key(SENDER)
    spelled = own[:31] + bytes([own[31] | 128])  # X25519 ignores the highest bit
    with pytest.raises(SecaggError, match="not sealed for us"):
        unseal(SENDER, spelled, CONTEXT, seal(SENDER, spelled, CONTEXT, SHARES))


def test_a_key_of_low_order_is_refused():
    with pytest.raises(SecaggError, match="small subgroup"):
        seal(SENDER, bytes(32), CONTEXT, SHARES)
    with pytest.raises(SecaggError, match="small subgroup"):
        unseal(RECEIVER, bytes(32), CONTEXT, sealed())


def test_two_messages_under_one_key_do_not_tell_their_difference():
    # Nobody should seal twice in one context; plain GCM would answer this mistake with XOR of the two.
    first, second = sealed(bytes(32)), sealed(bytes(31) + b"\1")
    differing = sum(one != two for one, two in zip(first[:31], second[:31], strict=True))
    assert differing > 20
    assert sealed(bytes(32)) == first
