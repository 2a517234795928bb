"""Lets polls wait for news instead of asking again and again."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

MAX_REMEMBERED = 10_000

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class Bell:
    """Rings for news; who has not asked since the last ring is let through at once.

    Used from one event loop only. A poll that comes between two rings waits for the second one, for `hold_s` at most.
    """

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._rings = 0
        self._next = asyncio.Event()
        self._asked_at: OrderedDict[str, int] = OrderedDict()

    def ring(self) -> None:
        """Wake everyone who waits."""
        self._rings += 1
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, who: str, receive: Receive) -> bool:
        """Wait until there may be news for `who`; False if its connection is gone, so that no news is wasted on it."""
        gone = False
        if self._asked_at.get(who) == self._rings:
            gone = await self._ring_or_gone(receive)
        self._asked_at[who] = self._rings
        self._asked_at.move_to_end(who)
        while len(self._asked_at) > MAX_REMEMBERED:
            self._asked_at.popitem(last=False)
        return not gone

    async def _ring_or_gone(self, receive: Receive) -> bool:
        rung = asyncio.ensure_future(self._next.wait())
        left = asyncio.ensure_future(receive())
        try:
            done, _ = await asyncio.wait({rung, left}, timeout=self._hold_s, return_when=asyncio.FIRST_COMPLETED)
            return left in done
        finally:
            rung.cancel()
            left.cancel()
