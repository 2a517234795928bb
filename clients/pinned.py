"""What a node pinned: its coordinator at joining, the other parties at its first acceptance of a task with them."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from clients.settings import NodeFolder
from federation.errors import EnrolmentError, SignatureError
from federation.ids import Fingerprint, PartyId, TaskDigest
from federation.manifest import Member
from federation.roles import Role
from federation.signing import fingerprint
from federation.terms import HEX64, SLUG


class Pinned(BaseModel):
    """coordinator/coordinator.json. `left_at` is set once this node has left the federation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: Annotated[str, Field(pattern=r"^https://[^/?#\s]+$")]
    coordinator_name: str
    coordinator_key_hex: Annotated[str, Field(pattern=HEX64)]
    ca_sha256: Annotated[str, Field(pattern=HEX64)]
    party: Annotated[PartyId, Field(pattern=SLUG)]
    name: str
    role: Role
    joined_at: AwareDatetime
    left_at: AwareDatetime | None = None

    @property
    def coordinator_key(self) -> bytes:
        """Raw Ed25519 public key, 32 bytes."""
        return bytes.fromhex(self.coordinator_key_hex)

    @property
    def coordinator(self) -> Fingerprint:
        """What every manifest must name as its coordinator."""
        return fingerprint(self.coordinator_key)


class Members(BaseModel):
    """coordinator/members.json: fingerprints that this node's owner confirmed, and the newest list that was seen.

    `reviewed`: for each task by name, the digest of the contract that `node review` showed last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Annotated[int, Field(ge=0)] = 0
    fingerprints: dict[PartyId, Fingerprint] = {}
    reviewed: dict[str, TaskDigest] = {}

    def strangers(self, cohort: tuple[Member, ...]) -> tuple[Member, ...]:
        """Members that were never confirmed here; `SignatureError` for one whose key has changed."""
        for member in cohort:
            known = self.fingerprints.get(member.party, member.fingerprint)
            if known != member.fingerprint:
                raise SignatureError(
                    f"{member.party} has another key ({member.fingerprint[:16]}…) than the one confirmed here before "
                    f"({known[:16]}…). Ask {member.name} by telephone; if it is right, delete its line in members.json."
                )
        return tuple(member for member in cohort if member.party not in self.fingerprints)

    def confirmed(self, cohort: tuple[Member, ...], version: int) -> "Members":
        """With the cohort's fingerprints added."""
        added = {member.party: member.fingerprint for member in cohort}
        return self.model_copy(
            update={"version": max(self.version, version), "fingerprints": self.fingerprints | added}
        )

    def shown(self, name: str, digest: TaskDigest) -> "Members":
        """With the contract that the owner was shown as task `name`."""
        return self.model_copy(update={"reviewed": self.reviewed | {name: digest}})

    def require_as_shown(self, name: str, digest: TaskDigest) -> None:
        """Raise `EnrolmentError` if the owner read another contract under this name than the one to be signed now."""
        if self.reviewed.get(name, digest) != digest:
            raise EnrolmentError(
                f"task {name} is not the contract that you reviewed: that was {self.reviewed[name][:16]}…, this is "
                f"{digest[:16]}…. Nothing was accepted. Read it again: paceline node review {name}"
            )


def load_pinned(folder: NodeFolder) -> Pinned:
    """What this node knows of its coordinator, or `EnrolmentError`."""
    try:
        return Pinned.model_validate_json(folder.pinned.read_bytes())
    except OSError as error:
        raise EnrolmentError(f"{folder.path} has not joined a federation: run `paceline node join TOKEN`.") from error
    except ValidationError as error:
        raise EnrolmentError(f"{folder.pinned} is damaged. Restore it from a backup, or join anew.") from error


def save_pinned(folder: NodeFolder, pinned: Pinned) -> None:
    """Write coordinator.json whole."""
    write_whole(folder.pinned, pinned.model_dump_json(indent=2).encode())


def load_members(folder: NodeFolder) -> Members:
    """The confirmed parties; nobody yet if there is no file."""
    path = folder.coordinator / "members.json"
    try:
        return Members.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Members()
    except (OSError, ValidationError) as error:
        raise EnrolmentError(f"{path} is damaged. Restore it from a backup, or delete it and review again.") from error


def save_members(folder: NodeFolder, members: Members) -> None:
    """Write members.json whole."""
    write_whole(folder.coordinator / "members.json", members.model_dump_json(indent=2).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file so that a crash leaves the old or the new one, never a half."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
