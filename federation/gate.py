"""Decides, by listening port, what may reach Flower: deny by default, keys and secrets first, then sizes."""

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from federation.bell import Bell

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Mapping[str, str]

BODY_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Denied:
    """A request that goes no further."""

    status: int
    text: str


@dataclass(frozen=True)
class Caller:
    """Who calls, as far as headers tell; for the log and for waiting."""

    name: str


@dataclass(frozen=True)
class Route:
    """One thing that a port lets through.

    `identify` sees the headers only and runs before any of the body is read.
    `waits` holds a poll back until there is news; `rings` tells those who wait for what this call brings.
    """

    app: App
    max_bytes: int
    identify: Callable[[Headers], Awaitable[Caller | Denied]]
    methods: frozenset[str] = frozenset({"POST"})
    waits: Bell | None = None
    rings: tuple[Bell, ...] = ()
    quiet: bool = False


@dataclass(frozen=True)
class Gate:
    """An ASGI application in front of others: exact paths and prefixes that end in a slash; all else is 404."""

    port: str
    routes: Mapping[str, Route]
    log: logging.Logger = field(repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let through, one request."""
        if scope["type"] != "http":
            return
        started = time.monotonic()
        status, caller = await self._handle(scope, receive, send)
        route = self._route(scope["path"])
        if route is None or not route.quiet or status >= 300:
            self._write(scope, status, caller, time.monotonic() - started)

    def _route(self, path: str) -> Route | None:
        exact = self.routes.get(path)
        if exact is not None:
            return exact
        return next(
            (route for prefix, route in self.routes.items() if prefix[-1] == "/" and path.startswith(prefix)), None
        )

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> tuple[int, str]:
        route = self._route(scope["path"])
        if route is None or scope["method"] not in route.methods:
            return await _answer(send, Denied(404, "not found")), ""
        headers = _headers(scope)
        caller = await route.identify(headers)
        if isinstance(caller, Denied):
            return await _answer(send, caller), ""
        body = await _body(headers, receive, route.max_bytes)
        if isinstance(body, Denied):
            return await _answer(send, body), caller.name
        if route.waits is not None:
            if not await route.waits.wait(f"{scope['path']} {caller.name}", receive):
                return 499, caller.name
            again = await route.identify(headers)  # it may have been revoked while it waited
            if isinstance(again, Denied):
                return await _answer(send, again), caller.name
        status = await _forward(route.app, scope, body, (receive, send))
        if status == 200:
            for bell in route.rings:
                bell.ring()
        return status, caller.name

    def _write(self, scope: Scope, status: int, caller: str, seconds: float) -> None:
        client = (scope.get("client") or ("",))[0]
        self.log.info(
            json.dumps(
                {
                    "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    "port": self.port,
                    "from": client,
                    "caller": caller,
                    "method": scope["method"],
                    "path": scope["path"][:200],
                    "status": status,
                    "seconds": round(seconds, 3),
                }
            )
        )


def _headers(scope: Scope) -> Headers:
    """Headers by lower-case name; a header that stands twice is dropped, so that nobody reads another one than we."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        if name in found:
            twice.add(name)
        found[name] = raw_value.decode("latin-1")
    return {name: value for name, value in found.items() if name not in twice}


async def _body(headers: Headers, receive: Receive, max_bytes: int) -> bytes | Denied:
    declared = headers.get("content-length", "0")
    if re.fullmatch("[0-9]{1,18}", declared) is None or int(declared) > max_bytes:
        return Denied(413, f"the body may have {max_bytes} bytes at most")
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            return await _read(receive, max_bytes)
    except TimeoutError:
        return Denied(408, "the body took too long")


async def _read(receive: Receive, max_bytes: int) -> bytes | Denied:
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return Denied(400, "the connection was closed")
        parts.append(event.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            return Denied(413, f"the body may have {max_bytes} bytes at most")
        if not event.get("more_body", False):
            return b"".join(parts)


async def _forward(app: App, scope: Scope, body: bytes, ends: tuple[Receive, Send]) -> int:
    """Hand the request with its body to `app`; the status that it answered."""
    receive, send = ends
    status = 500
    pending = [body]

    async def replay() -> Event:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    async def watch(event: Event) -> None:
        nonlocal status
        if event["type"] == "http.response.start":
            status = event["status"]
        await send(event)

    await app(scope, replay, watch)
    return status


async def _answer(send: Send, denied: Denied) -> int:
    body = denied.text.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    if denied.status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": denied.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return denied.status
