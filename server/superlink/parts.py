"""Carries the parts of messages past Flower's web layers, which cost three times as much as the work itself."""

from federation import flower  # noqa: F401  (before flwr: it switches telemetry off)

# isort: split
import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from flwr.proto.message_pb2 import PullObjectRequest, PushObjectRequest
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.dependencies.task import authenticate_task
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from flwr.superlink.servicer.fleet import fleet_handlers
from flwr.superlink.servicer.runtime import runtime_handlers

from federation.gate import Event, Receive, Scope, Send

Answer = Callable[[Request, bytes], bytes]


@dataclass(frozen=True)
class Parts:
    """An ASGI application for one kind of call; hands over to Flower's own whatever does not simply succeed."""

    flower_app: FastAPI
    answer: Answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, whose whole body comes in one piece (`federation.gate`)."""
        first = await receive()
        answer = await asyncio.to_thread(self._try, dict(scope), first["body"])
        if answer is None:
            await self.flower_app(scope, _again(first, receive), send)
            return
        headers = [(b"content-type", PROTOBUF_MEDIA_TYPE.encode()), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _try(self, scope: dict[str, Any], body: bytes) -> bytes | None:
        request = Request({**scope, "app": self.flower_app, "state": {}})
        try:
            return self.answer(request, body)
        except Exception:  # Flower's own application finds the same fault again, and words it
            return None


def fleet_push(state: LinkState) -> Answer:
    """A node brings a part."""

    def answer(request: Request, body: bytes) -> bytes:
        call = request.state.protobuf_request = PushObjectRequest.FromString(body)
        authenticate_node(request)
        return bytes(fleet_handlers.push_object(call, state).SerializeToString())

    return answer


def fleet_pull(state: LinkState) -> Answer:
    """A node fetches a part."""

    def answer(request: Request, body: bytes) -> bytes:
        call = request.state.protobuf_request = PullObjectRequest.FromString(body)
        authenticate_node(request)
        return bytes(fleet_handlers.pull_object(call, state).SerializeToString())

    return answer


def runtime_push(state: LinkState) -> Answer:
    """The ServerApp brings a part."""

    def answer(request: Request, body: bytes) -> bytes:
        task = authenticate_task(request, _token(request), state)
        return bytes(runtime_handlers.push_object(PushObjectRequest.FromString(body), state, task).SerializeToString())

    return answer


def runtime_pull(state: LinkState) -> Answer:
    """The ServerApp fetches a part."""

    def answer(request: Request, body: bytes) -> bytes:
        task = authenticate_task(request, _token(request), state)
        return bytes(runtime_handlers.pull_object(PullObjectRequest.FromString(body), state, task).SerializeToString())

    return answer


def _token(request: Request) -> str | None:
    return request.headers.get(TASK_TOKEN_HEADER)


def _again(first: Event, receive: Receive) -> Receive:
    pending = [first]

    async def replay() -> Event:
        return pending.pop() if pending else await receive()

    return replay
