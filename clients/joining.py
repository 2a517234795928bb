"""What a node says to join, and what it pins of the answer; the network is `clients.enrolment`'s."""

from datetime import UTC, datetime

from clients.pinned import Pinned
from clients.settings import NodeFolder
from federation.enrolment import JOIN_DOMAIN, Invitation, JoinAnswer, JoinRequest, join_bytes
from federation.errors import EnrolmentError
from federation.signing import Identity, fingerprint


def join_request(invitation: Invitation, identity: Identity, folder: NodeFolder) -> JoinRequest:
    """What a new node says to use its invitation; its own signature proves that it holds its key."""
    request = JoinRequest(
        secret=invitation.secret,
        identity_key=identity.public_key.hex(),
        supernode_key=folder.supernode_public_key.read_text(encoding="ascii").strip(),
        signature="0" * 128,
    )
    return request.model_copy(update={"signature": identity.sign(JOIN_DOMAIN, join_bytes(request)).hex()})


def pin(invitation: Invitation, answer: JoinAnswer) -> Pinned:
    """What is kept; the coordinator must hold the key whose fingerprint the token pins, and keep its word."""
    found = fingerprint(bytes.fromhex(answer.coordinator_key))
    if found != invitation.coordinator:
        raise EnrolmentError(
            f"the coordinator shows a key with fingerprint {found[:16]}…, the token expects "
            f"{invitation.coordinator[:16]}…. Do not go on; ask the coordinator by telephone."
        )
    if (answer.party, answer.role) != (invitation.party, invitation.role):
        raise EnrolmentError(
            f"invited as {invitation.party} ({invitation.role}) but joined as {answer.party} ({answer.role}); "
            "ask the coordinator for a new token."
        )
    return Pinned(
        address=invitation.address,
        coordinator_name=answer.coordinator_name,
        coordinator_key_hex=answer.coordinator_key,
        ca_sha256=invitation.ca_sha256,
        party=answer.party,
        name=answer.name,
        role=answer.role,
        joined_at=datetime.now(UTC),
    )
