"""A node's membership: joining with a token, tasks that are offered, accepting, signing, leaving."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clients.coordinator_api import coordinator_time, fetch_authority, open_api, send_unsigned, task_path
from clients.joining import join_request, pin
from clients.keys import make_keys
from clients.pinned import Pinned, load_members, load_pinned, save_members, save_pinned
from clients.policy import admit
from clients.settings import DEFAULT_NODE_TOML, NodeFolder, load
from clients.store import NodeStore
from federation import workloads
from federation.acceptance import accept
from federation.enrolment import (
    Invitation,
    JoinAnswer,
    certificate_fingerprint,
    decode_token,
    expired,
)
from federation.errors import EnrolmentError, LinkError
from federation.ids import TaskDigest
from federation.interrupts import finishing
from federation.manifest import Manifest, Member
from federation.roles import Role, Step, require, training_step
from federation.signing import (
    Identity,
    Membership,
    SignedManifest,
    SignedMembership,
    sign_digest,
    verify_manifest,
    verify_membership,
)

__all__ = ["Offer", "Pinned", "accept_task", "fetch_task", "join", "leave", "load_pinned", "reach", "sign_task"]


@dataclass(frozen=True)
class Joined:
    """What joining has made."""

    pinned: Pinned
    fingerprint: str


@dataclass(frozen=True)
class Offer:
    """A task as the coordinator shows it; the list of members is verified, the manifest not yet."""

    signed: SignedManifest
    membership: Membership
    accepted: tuple[str, ...]
    state: str


def join(token: str, path: Path) -> Joined:
    """Make the folder `path` a node of the federation that invited it; if anything fails, nothing is left of it."""
    invitation = decode_token(token)
    if expired(invitation, datetime.now(UTC)):
        raise EnrolmentError(
            f"the join token expired on {invitation.expires_at:%Y-%m-%d %H:%M} UTC; ask the coordinator for a new one."
        )
    with ExitStack() as held, _new_folder(path) as folder:
        ca = _authority(invitation)
        identity = make_keys(folder)
        held.enter_context(finishing())  # the coordinator counts the token as used from here on
        answer = _ask_to_join(invitation, identity, folder, ca)
        folder.ca.write_text(ca, encoding="ascii")
        pinned = pin(invitation, answer)
        save_pinned(folder, pinned)
        folder.settings.write_text(DEFAULT_NODE_TOML, encoding="utf-8")
    return Joined(pinned, identity.fingerprint)


def list_tasks(folder: NodeFolder) -> list[dict[str, Any]]:
    """Name, title, digest, state and acceptance of the tasks whose cohort this node is in."""
    found = open_api(folder).get("/tasks")
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise LinkError("the coordinator's list of tasks is not a list. Is it of the same version?")
    return found


def fetch_task(folder: NodeFolder, name: str) -> Offer:
    """The task called `name` with the coordinator's signed list of members."""
    api = open_api(folder)
    found = api.get(task_path(name))
    try:
        signed = SignedManifest.model_validate_json(json.dumps(found["signed"]))
        members = SignedMembership.model_validate_json(json.dumps(found["members"]))
        accepted, state = tuple(map(str, found["accepted"])), str(found["state"])
    except (KeyError, TypeError, ValidationError) as error:
        raise LinkError(f"what the coordinator sent as task {name} is none. Is it of the same version?") from error
    _require_asked(signed.manifest, name)
    least = load_members(folder).version
    return Offer(signed, verify_membership(members, api.pinned.coordinator, least), accepted, state)


def verify_offer(folder: NodeFolder, offer: Offer, at: datetime) -> Manifest:
    """The manifest, if all signatures hold, this node installed the same workload and everybody is who they were."""
    pinned = load_pinned(folder)
    manifest = verify_manifest(offer.signed, pinned.coordinator, at)
    workloads.require_agreed(manifest)
    _require_members(manifest, offer.membership)
    load_members(folder).strangers(manifest.cohort)
    return manifest


def accept_task(folder: NodeFolder, store: NodeStore, name: str) -> Manifest:
    """Verify, pin the cohort, remember, then tell the coordinator; signs exactly the digest that was verified."""
    at = datetime.now(UTC)
    offer, api = fetch_task(folder, name), open_api(folder)
    manifest = verify_offer(folder, offer, at)
    admit(load(folder).policy, manifest, api.pinned.party, api.pinned.role, main_step(api.pinned.role))
    members, digest = load_members(folder), manifest.digest()
    members.require_as_shown(manifest.name, digest)
    save_members(folder, members.confirmed(manifest.cohort, offer.membership.version))
    if store.accepted_task(digest) is None:
        store.accept_task(offer.signed.model_dump_json(), digest, at)
    acceptance = accept(api.identity, api.pinned.party, digest, at)
    api.post(f"{task_path(name)}/acceptance", acceptance.model_dump_json().encode())
    return manifest


def main_step(role: Role) -> Step:
    """What a party of this role is asked for first; a policy that forbids it makes accepting pointless."""
    return Step.INITIALISE if role is Role.ALGORITHM_PROVIDER else training_step(role)


def sign_task(path: Path, name: str) -> dict[str, str]:
    """The algorithm provider's signature under a task whose workload is the one installed here."""
    folder = NodeFolder(path)
    offer, api = fetch_task(folder, name), open_api(folder)
    require(api.pinned.role, Step.SIGN_WORKLOAD)
    manifest = offer.signed.manifest
    if manifest.coordinator != api.pinned.coordinator:
        raise EnrolmentError(f"task {name} names another coordinator than the one pinned here; it was not signed.")
    workloads.require_agreed(manifest)
    _require_own_key(manifest.member(api.pinned.party), api.identity)
    digest = manifest.digest()
    signature = sign_digest(api.identity, digest, "algorithm-provider", api.pinned.party, datetime.now(UTC))
    answer = api.post(f"{task_path(name)}/signature", signature.model_dump_json().encode())
    state = answer.get("state", "") if isinstance(answer, dict) else ""
    return {"task": name, "digest": digest, "signed_by": api.pinned.party, "state": str(state)}


def leave(folder: NodeFolder, store: NodeStore) -> Pinned:
    """Veto everything at once, take back every acceptance, then tell the coordinator."""
    api, at = open_api(folder), datetime.now(UTC)
    store.set_paused(True)
    for task in store.accepted_tasks():
        if task.left_at is None:
            store.leave_task(TaskDigest(task.digest), at)
    api.post("/leave", b"")
    left = api.pinned.model_copy(update={"left_at": at})
    save_pinned(folder, left)
    return left


def require_in(folder: NodeFolder) -> Pinned:
    """What is pinned, or `EnrolmentError` for a node that has left."""
    pinned = load_pinned(folder)
    if pinned.left_at is not None:
        raise EnrolmentError(
            f"this node left {pinned.coordinator_name} on {pinned.left_at:%Y-%m-%d}; join anew in another folder, with "
            "a new token."
        )
    return pinned


def reach(folder: NodeFolder) -> float:
    """How many seconds this machine's clock is ahead of the coordinator's; `LinkError` if it cannot be reached."""
    theirs, ours = coordinator_time(folder, lambda: datetime.now(UTC))
    return (ours - theirs).total_seconds()


@contextmanager
def _new_folder(path: Path) -> Iterator[NodeFolder]:
    """A folder that becomes `path` when the block ends well, and vanishes otherwise."""
    final = path.resolve()
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        raise EnrolmentError(f"{final} exists and is not empty; name a new folder with --dir. Nothing was changed.")
    final.parent.mkdir(parents=True, exist_ok=True)
    new = NodeFolder(final.with_name(f".{final.name}.joining-{os.getpid()}"))
    try:
        new.path.mkdir(mode=0o700)
        for part in (new.coordinator, new.data, new.logs, new.secrets):
            part.mkdir(mode=0o700)
        yield new
        new.path.rename(final)
    except BaseException:
        shutil.rmtree(new.path, ignore_errors=True)
        raise


def _authority(invitation: Invitation) -> str:
    """The certificate authority, if it is the one whose hash the token pins."""
    ca = fetch_authority(invitation.address)
    found = certificate_fingerprint(ca.encode())
    if found != invitation.ca_sha256:
        raise EnrolmentError(
            f"the coordinator at {invitation.address} has the authority {found[:16]}…, the token expects "
            f"{invitation.ca_sha256[:16]}…. Either the token is old, or somebody is in between: ask the coordinator."
        )
    return ca


def _ask_to_join(invitation: Invitation, identity: Identity, folder: NodeFolder, ca: str) -> JoinAnswer:
    signed = join_request(invitation, identity, folder)
    answer = send_unsigned(invitation.address, ca, "POST", "/join", signed.model_dump_json().encode())
    try:
        return JoinAnswer.model_validate_json(json.dumps(answer))
    except ValidationError as error:
        raise LinkError("the coordinator's answer to joining cannot be read. Is it of the same version?") from error


def _require_asked(manifest: Manifest, name: str) -> None:
    """Another genuine task under the name that the owner reads and accepts would be a replay."""
    if name not in (manifest.name, manifest.digest()):
        raise EnrolmentError(
            f"asked for task {name}, the coordinator sent {manifest.name}; it was not accepted. Ask the coordinator."
        )


def _require_members(manifest: Manifest, membership: Membership) -> None:
    """Everybody in the cohort must be on the coordinator's signed list, with the same key and role."""
    listed = {member.party: member for member in membership.members}
    for member in manifest.cohort:
        found = listed.get(member.party)
        if found is None or (found.fingerprint, found.role) != (member.fingerprint, member.role):
            raise EnrolmentError(
                f"{member.party} is in the cohort of {manifest.name} but not, with this key and role, on the "
                "coordinator's signed list of members. Ask the coordinator for a new task."
            )


def _require_own_key(member: Member, identity: Identity) -> None:
    if member.fingerprint != identity.fingerprint:
        raise EnrolmentError(f"the task names another key for {member.party} than this node's; it was not signed.")
