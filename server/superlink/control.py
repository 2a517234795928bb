"""Starts, stops and lists Flower's runs over the private port."""

from federation import flower

# isort: split
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx
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
from google.protobuf.message import Message

from federation.errors import LinkError

R = TypeVar("R", bound=Message)


@dataclass(frozen=True)
class Control:
    """Where the private port is, and what opens it."""

    address: str
    ca: Path
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class Run:
    """One run of a task, as Flower sees it; `outcome` is empty until it is finished."""

    run_id: int
    task: str
    status: str
    outcome: str


def start_run(control: Control, task: str) -> int:
    """Have the executor run `task`; Flower's number of the run."""
    request = StartRunRequest(
        fab=Fab(hash_str=flower.bundle_digest(), content=flower.bundle()),
        override_config=user_config_to_proto({flower.TASK_KEY: task}),
    )
    response = _call(control, "start-run", request, StartRunResponse)
    if not response.run_id:
        raise LinkError(f"Flower did not start a run of {task}; see logs/superlink.log in the coordinator's folder.")
    return int(response.run_id)


def stop_run(control: Control, run_id: int) -> bool:
    """End a run; False if it was over already."""
    return bool(_call(control, "stop-run", StopRunRequest(run_id=run_id), StopRunResponse).success)


def runs(control: Control, limit: int = 100) -> list[Run]:
    """The last runs, newest first."""
    response = _call(control, "list-runs", ListRunsRequest(limit=limit), ListRunsResponse)
    found = sorted(response.run_dict.values(), key=lambda run: run.pending_at, reverse=True)
    return [
        Run(
            run_id=run.run_id,
            task=run.override_config[flower.TASK_KEY].string,
            status=run.status.status,
            outcome=run.status.sub_status,
        )
        for run in found
    ]


def _call(control: Control, name: str, request: Message, answer: type[R]) -> R:
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
    result = answer()
    result.ParseFromString(response.content)
    return result
