"""What a listening port lets through, without a network: requests and answers as ASGI events."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from federation.bell import Bell
from federation.gate import Caller, Denied, Gate, Headers, Receive, Route, Scope, Send

LOG = logging.getLogger("test.gate")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def anyone(headers: Headers) -> Caller | Denied:
    return Caller("someone")


async def nobody(headers: Headers) -> Caller | Denied:
    return Denied(401, "who are you?")


def call(gate: Gate, path: str, chunks: list[bytes], method: str = "POST", headers: Any = ()) -> tuple[int, int]:
    """The status of the answer, and how many chunks of the body were read for it."""
    return asyncio.run(_call(gate, path, chunks, method, headers))


async def _call(gate: Gate, path: str, chunks: list[bytes], method: str, headers: Any) -> tuple[int, int]:
    left, sent = list(chunks), []

    async def receive() -> dict[str, Any]:
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(event: Any) -> None:
        sent.append(event)

    await gate({"type": "http", "path": path, "method": method, "headers": headers, "client": ("h", 1)}, receive, send)
    return sent[0]["status"], len(chunks) - len(left)


def gate(identify: Callable[[Headers], Awaitable[Caller | Denied]] = anyone, max_bytes: int = 10) -> Gate:
    return Gate("public", {"/a/b": Route(echo, max_bytes, identify), "/open/": Route(echo, max_bytes, identify)}, LOG)


@pytest.mark.parametrize("path", ["/", "/a", "/a/b/", "/a/b/c", "/A/b", "//a/b", "/open", "/a/b%00", ""])
def test_what_is_not_listed_is_not_there(path: str) -> None:
    assert call(gate(), path, [b""]) == (404, 0)


@pytest.mark.parametrize("path", ["/a/b", "/open/", "/open/further"])
def test_what_is_listed_is_let_through(path: str) -> None:
    assert call(gate(), path, [b"12345", b"67890"]) == (200, 2)


def test_another_method_is_not_there() -> None:
    assert call(gate(), "/a/b", [b""], method="GET") == (404, 0)


def test_nothing_of_a_strangers_body_is_read() -> None:
    assert call(gate(nobody), "/a/b", [b"x"]) == (401, 0)


@pytest.mark.parametrize("declared", [b"11", b"-1", b"1e3", b"9" * 20, b"9" * 5000, b"\xb2"])
def test_a_body_that_is_declared_too_long_is_not_read(declared: bytes) -> None:
    assert call(gate(), "/a/b", [b"x"], headers=[(b"content-length", declared)]) == (413, 0)


def test_a_body_that_turns_out_too_long_is_read_no_further() -> None:
    assert call(gate(), "/a/b", [b"123456", b"123456", b"x", b"x"]) == (413, 2)


def test_a_header_that_stands_twice_counts_for_nothing() -> None:
    seen: list[Headers] = []

    async def identify(headers: Headers) -> Caller | Denied:
        seen.append(headers)
        return Caller("")

    call(gate(identify), "/a/b", [b""], headers=[(b"Key", b"1"), (b"key", b"2"), (b"other", b"3")])
    assert seen == [{"other": "3"}]


def test_a_poll_waits_for_news_and_who_was_away_does_not() -> None:
    async def story() -> list[bool]:
        async def still_there() -> dict[str, Any]:
            await asyncio.sleep(60)
            return {}

        bell = Bell(60)
        first = await asyncio.wait_for(bell.wait("a", still_there), 1)
        waiting = asyncio.ensure_future(bell.wait("a", still_there))
        await asyncio.sleep(0.05)
        held = not waiting.done()
        bell.ring()
        told = await asyncio.wait_for(waiting, 1)
        bell.ring()
        missed = await asyncio.wait_for(bell.wait("a", still_there), 1)
        return [first, held, told, missed]

    assert asyncio.run(story()) == [True, True, True, True]


def test_a_poll_whose_caller_is_gone_takes_no_message() -> None:
    async def story() -> bool:
        async def gone() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        bell = Bell(60)
        await bell.wait("a", gone)
        return await bell.wait("a", gone)

    assert asyncio.run(story()) is False


def test_who_was_revoked_while_waiting_is_refused() -> None:
    answers: list[Caller | Denied] = [Caller("a"), Denied(401, "revoked")]

    async def identify(headers: Headers) -> Caller | Denied:
        return answers.pop(0)

    waits = Gate("public", {"/a/b": Route(echo, 10, identify, waits=Bell(1))}, LOG)
    assert call(waits, "/a/b", [b""])[0] == 401
