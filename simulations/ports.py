"""Ports of this machine for processes that are started here."""

import socket
import time
from collections.abc import Callable

from federation.errors import LinkError


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on right now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def wait_for_port(port: int, deadline_s: float, still_alive: Callable[[], None]) -> None:
    """Wait until something listens on `port`; `still_alive` raises if that will not happen."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        still_alive()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise LinkError(
        f"nothing listens on port {port} after {deadline_s:.0f} s; read the logs of the process that should."
    )
