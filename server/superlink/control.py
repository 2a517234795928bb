"""Starts, stops and lists Flower's runs over the private port."""

from federation import flower

# isort: split
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
from flwr.common.constant import Status
from flwr.common.serde import user_config_to_proto
from flwr.proto.control_pb2 import (
    ListRunsRequest,
    ListRunsResponse,
    StartRunRequest,
    StartRunResponse,
    StopRunRequest,
    StopRunResponse,
)
from flwr.proto.fab_pb2 import Fab
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE

from federation.errors import LinkError
from server import settings
from server.settings import ServerFolder
from server.superlink import secrets

Request = StartRunRequest | StopRunRequest | ListRunsRequest


@dataclass(frozen=True)
class Control:
    """Where the private port is, and what opens it."""

    address: str
    ca: Path
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class Run:
    """One run of a task, as Flower sees it; `outcome` is empty until it is finished, then completed, failed, stopped.

    `details` is what the run said when it failed; `asked_at` when it was asked for.
    """

    run_id: int
    task: str
    status: str
    outcome: str
    details: str
    asked_at: datetime


def control_of(folder: ServerFolder | Path) -> Control:
    """The private port of the coordinator in `folder`."""
    place = ServerFolder(folder) if isinstance(folder, Path) else folder
    return Control(
        address=f"127.0.0.1:{settings.load(place).private_port}",
        ca=place.ca_certificate,
        secret=secrets.load(place.secrets).control,
    )


def start_run(folder: ServerFolder | Path | Control, task: str) -> int:
    """Have the executor run `task`; Flower's number of the run."""
    request = StartRunRequest(
        fab=Fab(hash_str=flower.bundle_digest(), content=flower.bundle()),
        override_config=user_config_to_proto({flower.TASK_KEY: task}),
    )
    response = StartRunResponse.FromString(_call(folder, "start-run", request))
    if not response.run_id:
        raise LinkError(f"Flower did not start a run of {task}; see logs/superlink.log in the coordinator's folder.")
    return int(response.run_id)


def stop_run(folder: ServerFolder | Path | Control, run_id: int) -> bool:
    """End a run, whose ServerApp is told at its next call; False if it was over already."""
    if all(run.run_id != run_id or run.status == Status.FINISHED for run in runs(folder)):
        return False
    return bool(StopRunResponse.FromString(_call(folder, "stop-run", StopRunRequest(run_id=run_id))).success)


def runs(folder: ServerFolder | Path | Control, limit: int = 100) -> list[Run]:
    """The last runs, newest first."""
    response = ListRunsResponse.FromString(_call(folder, "list-runs", ListRunsRequest(limit=limit)))
    found = sorted(response.run_dict.values(), key=lambda run: run.pending_at, reverse=True)
    return [
        Run(
            run_id=run.run_id,
            task=run.override_config[flower.TASK_KEY].string,
            status=run.status.status,
            outcome=run.status.sub_status,
            details=run.status.details,
            asked_at=datetime.fromisoformat(run.pending_at),
        )
        for run in found
    ]


def _call(folder: ServerFolder | Path | Control, name: str, request: Request) -> bytes:
    """The body of the answer; `LinkError` if there is none, or a refusal."""
    control = folder if isinstance(folder, Control) else control_of(folder)
    headers = {
        "authorization": f"Bearer {control.secret.decode()}",
        "content-type": PROTOBUF_MEDIA_TYPE,
        "accept": PROTOBUF_MEDIA_TYPE,
    }
    try:
        with httpx.Client(verify=ssl.create_default_context(cafile=str(control.ca)), timeout=30.0) as client:
            response = client.post(
                f"https://{control.address}/v1/control/{name}", content=request.SerializeToString(), headers=headers
            )
    except httpx.HTTPError as error:
        raise LinkError(
            f"no answer from the coordinator's private port {control.address} ({error}). "
            "Is it running? Start it with: paceline server up"
        ) from error
    if response.status_code != httpx.codes.OK:
        raise LinkError(f"{name} was refused with status {response.status_code}: {response.text[:300]}")
    return response.content
