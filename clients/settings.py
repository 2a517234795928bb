"""Where a node keeps its things, with the settings that its owner edits."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clients.policy import Policy
from federation.errors import UsageError
from federation.misfits import misfits

DEFAULT_NODE_TOML = """\
# What this node allows. The node decides last: what is not allowed here is refused, whatever a task asks for.
# Edit by hand or with `paceline node allow`; a change holds from the next message on.

threads = 1                     # processor threads for training

[policy]
purposes = []                   # why people's data may be used, such as ["train-motion-models"]
workloads = []                  # what may be trained, such as ["exercise_recognition"]
max_epsilon = 1.0               # what all tasks together may ever cost one person (ε, at delta below)
delta = 1e-6                    # below one over the number of people
max_epsilon_per_task = 1.0      # what one task may cost one person
min_parties = 2                 # tasks that go on with fewer parties are refused
min_people = 2                  # train on no fewer consenting people than this
allow_unprotected = []          # names of tasks that may run WITHOUT differential privacy
allow_published_scores = false  # exact scores of people who consented to publish-scores may leave
share_noise_with = {}           # whose noise may protect people here: { party = "fingerprint, told by telephone" }
max_task_days = 366.0           # refuse tasks that last longer
age_of_consent_years = 16       # younger people need a guardian's consent; may be raised, never lowered
"""


@dataclass(frozen=True)
class NodeFolder:
    """Everything that a node has lies in `path`."""

    path: Path

    @property
    def settings(self) -> Path:
        """The policy, readable and edited by the owner."""
        return self.path / "node.toml"

    @property
    def identity(self) -> Path:
        """Ed25519 key that signs answers; mode 0600."""
        return self.path / "identity.key"

    @property
    def supernode_key(self) -> Path:
        """P-384 key in OpenSSH format for the connection to Flower; mode 0600."""
        return self.path / "supernode.key"

    @property
    def supernode_public_key(self) -> Path:
        """The public half of `supernode_key`."""
        return self.path / "supernode.pub"

    @property
    def coordinator(self) -> Path:
        """What was pinned about the coordinator at joining."""
        return self.path / "coordinator"

    @property
    def ca(self) -> Path:
        """The coordinator's certificate authority; TLS trusts nothing else."""
        return self.coordinator / "ca.crt"

    @property
    def pinned(self) -> Path:
        """Address, key and names, see `clients.enrolment.Pinned`."""
        return self.coordinator / "coordinator.json"

    @property
    def database(self) -> Path:
        """Consent, budget, answers, audit log."""
        return self.path / "node.sqlite"

    @property
    def identities(self) -> Path:
        """External identifiers and the key of pseudonyms; deleting it erases the people."""
        return self.path / "identities.sqlite"

    @property
    def data(self) -> Path:
        """Imported rows, one folder per workload."""
        return self.path / "data"

    @property
    def logs(self) -> Path:
        """What the node's processes wrote."""
        return self.path / "logs"

    @property
    def secrets(self) -> Path:
        """Secrets between this node's own processes; mode 0700."""
        return self.path / "secrets"


class NodeSettings(BaseModel):
    """node.toml, parsed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: Annotated[int, Field(ge=1, le=256)] = 1
    policy: Policy = Policy()


def find_folder(given: Path | None) -> NodeFolder:
    """The folder of ``--dir``, else of $PACELINE_NODE, else the current one; `UsageError` unless a node is in it."""
    folder = NodeFolder((given or Path(os.environ.get("PACELINE_NODE", "."))).resolve())
    if not folder.settings.is_file():
        raise UsageError(
            f"{folder.path} is not a node's folder: it holds no node.toml. Name one with --dir or $PACELINE_NODE, "
            "or make one with `paceline node join TOKEN --dir D`."
        )
    return folder


def load(folder: NodeFolder) -> NodeSettings:
    """The settings in node.toml, or `UsageError` that names each line that cannot be."""
    try:
        return parse(folder.settings.read_text(encoding="utf-8"), str(folder.settings))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{folder.settings} cannot be read ({error}); nothing is allowed until it can.") from error


def parse(text: str, origin: str) -> NodeSettings:
    """Settings from TOML text; `origin` names it in messages."""
    try:
        return NodeSettings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{origin} is not TOML: {error}.") from error
    except ValidationError as error:
        lines = misfits(error, NodeSettings)
        raise UsageError(f"{origin} cannot be used:\n  " + "\n  ".join(lines)) from error
