"""How parties come and go: a new coordinator, invitations, joining, the signed membership list."""

import hashlib
import re
import secrets
import unicodedata
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field, TypeAdapter, ValidationError

from federation.enrolment import (
    JOIN_DOMAIN,
    Invitation,
    JoinAnswer,
    JoinRequest,
    encode_token,
    join_bytes,
)
from federation.errors import EnrolmentError, StoreError, UsageError
from federation.ids import PartyId
from federation.manifest import Member
from federation.roles import Role
from federation.signing import (
    Identity,
    Membership,
    SignedMembership,
    sign_membership,
    verify,
)
from federation.terms import SLUG
from server import pki
from server import settings as server_settings
from server.settings import ServerFolder, ServerSettings
from server.store import Invited, Party, ServerStore, open_store

VALID_HOURS = 72.0
MAX_VALID_HOURS = 24.0 * 90


class NodeRegistry(Protocol):
    """Where the transport keeps the keys of the nodes that may connect."""

    def register(self, name: str, public_key_openssh: bytes) -> int:
        """Let this key connect; its node number. The same key again gives the same number."""


def create(path: Path, settings: ServerSettings, at: datetime) -> ServerFolder:
    """A new coordinator's folder: settings, identity, certificates, empty database; `UsageError` if there is one."""
    folder = server_settings.make(path, settings)
    try:
        open_store(folder).close()
    except StoreError:
        folder.settings_file.unlink()
        raise
    if not folder.identity_key.exists():
        Identity.create().save(folder.identity_key)
    pki.create_authority(folder, settings, at)
    return folder


def invite(
    store: ServerStore,
    folder: ServerFolder,
    name: str,
    role: Role,
    party: str = "",
    valid_hours: float = VALID_HOURS,
) -> str:
    """A token for one organisation, to be sent over a channel that it trusts; the line holds the only secret."""
    if not 0 < valid_hours <= MAX_VALID_HOURS:
        raise UsageError(f"--valid-hours {valid_hours:g} cannot be; expected more than 0, at most {MAX_VALID_HOURS:g}.")
    at, secret = store.clock(), secrets.token_hex(32)
    try:
        invitation = Invitation(
            address=server_settings.load(folder).address,
            ca_sha256=pki.authority_fingerprint(folder),
            coordinator=Identity.load(folder.identity_key).fingerprint,
            secret=secret,
            party=party_id(party or slug(name)),
            role=role,
            name=name,
            expires_at=at + timedelta(hours=valid_hours),
        )
    except ValidationError as error:
        raise UsageError(f"--name has {len(name)} characters; expected 1 to 80 printable ones.") from error
    store.invite(
        Invited(
            party=invitation.party,
            name=name,
            role=role,
            secret_hash=secret_hash(secret),
            created_at=at,
            expires_at=invitation.expires_at,
        )
    )
    return encode_token(invitation)


def join(store: ServerStore, folder: ServerFolder, registry: NodeRegistry, request: JoinRequest) -> JoinAnswer:
    """Make an invited organisation a party: its token is good, it holds its key, both keys are new."""
    hashed, node_key = secret_hash(request.secret), request.supernode_key.strip()
    invited = store.invitation(hashed)
    verify(bytes.fromhex(request.identity_key), JOIN_DOMAIN, join_bytes(request), bytes.fromhex(request.signature))
    pki.check_node_key(node_key.encode())
    store.require_new_keys(request.identity_key, node_key)
    node_id = registry.register(invited.party, node_key.encode())
    party = store.join(hashed, request.identity_key, node_key, node_id)
    return JoinAnswer(
        party=party.id,
        name=party.name,
        role=party.role,
        coordinator_key=Identity.load(folder.identity_key).public_key.hex(),
        coordinator_name=server_settings.load(folder).name,
    )


def membership(store: ServerStore, identity: Identity) -> SignedMembership:
    """All parties that are in now, under the coordinator's signature."""
    version, members = store.membership_version(), [party for party in store.parties() if party.active]
    if store.membership_version() != version:
        return membership(store, identity)
    listed = tuple(as_member(party, 0) for party in members)
    return sign_membership(identity, Membership(version=version, issued_at=store.clock(), members=listed))


def as_member(party: Party, people: int) -> Member:
    """A party as it stands in a cohort."""
    return Member(party=party.id, name=party.name, role=party.role, fingerprint=party.fingerprint, people=people)


def slug(name: str) -> str:
    """A party's id from its name: ``"Cité Runners!"`` → ``cite-runners``; may be empty."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].rstrip("-")


def party_id(text: str) -> PartyId:
    """`text` as a party's id, or `UsageError`."""
    try:
        return _PARTY.validate_python(text)
    except ValidationError as error:
        raise UsageError(
            f"{text!r} cannot be a party's id; expected 1 to 40 of a-z, 0-9 and -. Choose one with --party."
        ) from error


def secret_hash(secret: str) -> str:
    """What the store knows of an invitation's secret (256 random bits, so a plain hash is enough)."""
    return hashlib.sha256(bytes.fromhex(secret)).hexdigest()


def require_member(store: ServerStore, party: str) -> Party:
    """The party, if it may take part now; `EnrolmentError` otherwise."""
    found = store.party(party)
    if not found.active:
        word = "was revoked" if found.revoked_at else "left"
        raise EnrolmentError(f"{found.name} ({found.id}) {word}; it takes no part any more.")
    return found


_PARTY: TypeAdapter[PartyId] = TypeAdapter(Annotated[PartyId, Field(pattern=SLUG)])
