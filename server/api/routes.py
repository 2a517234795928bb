"""The addresses under ``/paceline/v1`` and what each does."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from federation.acceptance import Acceptance, verify_acceptance
from federation.enrolment import API_PATH, JoinRequest
from federation.errors import EnrolmentError, ManifestError, PacelineError, SignatureError, StoreError
from federation.manifest import Manifest
from federation.signing import (
    Identity,
    Signature,
    verify_signature,
)
from server import enrolment, release
from server.api.calls import ApiError, Call, caller, read_call
from server.enrolment import NodeRegistry
from server.settings import ServerFolder
from server.store import InvitationRefused, Party, ServerStore, Task, TaskState

log = logging.getLogger(__name__)
Document = TypeVar("Document", bound=BaseModel)


@dataclass(frozen=True, repr=False)
class Desk:
    """What the handlers work with."""

    store: ServerStore
    folder: ServerFolder
    identity: Identity
    registry: NodeRegistry


Handler = Callable[[Desk, Call], Response]


def public_api(store: ServerStore, folder: ServerFolder, registry: NodeRegistry) -> Starlette:
    """The application for everything under ``/paceline/v1/``; it takes whole paths and shows no documentation."""
    desk = Desk(store, folder, Identity.load(folder.identity_key), registry)
    table: dict[tuple[str, str], Handler] = {
        ("GET", "/ca.pem"): get_certificate,
        ("GET", "/time"): get_time,
        ("POST", "/join"): post_join,
        ("GET", "/members"): get_members,
        ("GET", "/tasks"): get_tasks,
        ("GET", "/tasks/{name}"): get_task,
        ("POST", "/tasks/{name}/signature"): post_signature,
        ("POST", "/tasks/{name}/acceptance"): post_acceptance,
        ("GET", "/tasks/{name}/release"): get_release,
        ("POST", "/leave"): post_leave,
    }
    routes = [Route(path, _endpoint(desk, handler), methods=[method]) for (method, path), handler in table.items()]
    return Starlette(routes=[Mount(API_PATH, routes=routes)], exception_handlers={HTTPException: _not_found})


def get_certificate(desk: Desk, _call: Call) -> Response:
    """The authority's certificate; a joining node compares it with its token before it trusts anything."""
    return Response(desk.folder.ca_certificate.read_bytes(), media_type="application/x-pem-file")


def get_time(desk: Desk, _call: Call) -> Response:
    """This side's clock."""
    return JSONResponse({"time": desk.store.clock().isoformat()})


def post_join(desk: Desk, call: Call) -> Response:
    """A token becomes a membership."""
    request = _parse(JoinRequest, call)
    return _json(enrolment.join(desk.store, desk.folder, desk.registry, request))


def get_members(desk: Desk, call: Call) -> Response:
    """The signed list of all who are in."""
    caller(desk.store, call)
    return _json(enrolment.membership(desk.store, desk.identity))


def get_tasks(desk: Desk, call: Call) -> Response:
    """The tasks whose cohort the caller is in."""
    party = caller(desk.store, call)
    tasks = [(task, task.manifest()) for task in desk.store.tasks()]
    listed = [
        {
            "name": task.name,
            "title": manifest.title,
            "digest": task.digest,
            "state": task.state,
            "accepted": party.id in desk.store.accepted(task.digest),
        }
        for task, manifest in tasks
        if _in_cohort(manifest, party)
    ]
    return JSONResponse(listed)


def get_task(desk: Desk, call: Call) -> Response:
    """One task with its signatures, the membership list and who has accepted."""
    task, _ = _task(desk, caller(desk.store, call), call)
    return JSONResponse(
        {
            "signed": desk.store.signed_manifest(task.name).model_dump(mode="json"),
            "members": enrolment.membership(desk.store, desk.identity).model_dump(mode="json"),
            "accepted": sorted(desk.store.accepted(task.digest)),
            "state": task.state,
        }
    )


def post_signature(desk: Desk, call: Call) -> Response:
    """The algorithm provider signs the task."""
    party = caller(desk.store, call)
    task, manifest = _task(desk, party, call)
    signature = _parse(Signature, call)
    if signature.signer != "algorithm-provider" or signature.party != party.id:
        raise ApiError(403, "wrong-role", f"{party.id} can only sign as algorithm provider and in its own name.")
    verify_signature(signature, manifest)
    _require_open(desk, manifest)
    return JSONResponse({"state": desk.store.add_signature(task.digest, signature)})


def post_acceptance(desk: Desk, call: Call) -> Response:
    """A party accepts exactly this task."""
    party = caller(desk.store, call)
    task, manifest = _task(desk, party, call)
    acceptance = _parse(Acceptance, call)
    if acceptance.party != party.id:
        raise ApiError(403, "wrong-party", f"{party.id} cannot accept in the name of {acceptance.party}.")
    verify_acceptance(acceptance, manifest)
    _require_open(desk, manifest)
    if task.state is TaskState.DRAFT:
        raise ApiError(409, "not-signed", f"task {task.name} is not signed by coordinator and algorithm provider yet.")
    desk.store.add_acceptance(acceptance)
    return JSONResponse({"accepted": sorted(desk.store.accepted(task.digest))})


def get_release(desk: Desk, call: Call) -> Response:
    """The released model as a ZIP file, for the cohort."""
    task, _ = _task(desk, caller(desk.store, call), call)
    if desk.store.release(task.digest) is None:
        raise ApiError(404, "no-release", f"task {task.name} is {task.state}; there is no released model yet.")
    return Response(release.archive(desk.store, desk.folder, task.name), media_type="application/zip")


def post_leave(desk: Desk, call: Call) -> Response:
    """The caller takes itself out, at once."""
    party = caller(desk.store, call)
    desk.store.leave(party.id)
    return JSONResponse({"left": party.id})


def _endpoint(desk: Desk, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            call = await read_call(request)
            return await run_in_threadpool(handler, desk, call)
        except ApiError as error:
            return _refusal(error)
        except PacelineError as error:
            return _refusal(_as_api_error(error))
        except Exception:
            log.exception("an unforeseen error at %s", request.url.path)
            return _refusal(ApiError(500, "internal", "internal error; the coordinator's log says more."))

    return endpoint


def _as_api_error(error: PacelineError) -> ApiError:
    if isinstance(error, InvitationRefused):
        return ApiError(403, error.code, str(error))
    table: list[tuple[type[PacelineError], int, str]] = [
        (SignatureError, 403, "bad-signature"),
        (EnrolmentError, 409, "enrolment"),
        (ManifestError, 404, "unknown-task"),
        (StoreError, 503, "store"),
    ]
    for kind, status, code in table:
        if isinstance(error, kind):
            message = "the coordinator's database cannot be used now; try again." if status == 503 else str(error)
            log.warning("%s: %s", code, error)
            return ApiError(status, code, message)
    return ApiError(400, "refused", str(error))


def _refusal(error: ApiError) -> Response:
    return JSONResponse({"error": str(error), "code": error.code}, status_code=error.status)


async def _not_found(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _refusal(ApiError(status, "unknown-address", "there is nothing at this address."))


def _json(document: BaseModel) -> Response:
    return Response(document.model_dump_json(), media_type="application/json")


def _parse(kind: type[Document], call: Call) -> Document:
    try:
        return kind.model_validate_json(call.body)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, item["loc"])) or "body" for item in error.errors())
        raise ApiError(400, "bad-request", f"the body is not what this address expects; wrong: {fields}.") from error


def _task(desk: Desk, party: Party, call: Call) -> tuple[Task, Manifest]:
    """The task of the address; one whose cohort the caller is not in does not exist for it."""
    unknown = ApiError(
        404, "unknown-task", f"there is no task {call.values['name']!r} for {party.id}; see: paceline node tasks"
    )
    try:
        task = desk.store.task(call.values["name"])
    except ManifestError as error:
        raise unknown from error
    manifest = task.manifest()
    if not _in_cohort(manifest, party):
        raise unknown
    return task, manifest


def _in_cohort(manifest: Manifest, party: Party) -> bool:
    return any(member.fingerprint == party.fingerprint for member in manifest.cohort)


def _require_open(desk: Desk, manifest: Manifest) -> None:
    if manifest.expired(desk.store.clock()):
        raise ApiError(409, "expired", f"task {manifest.name} expired on {manifest.expires_at:%Y-%m-%d %H:%M} UTC.")
