"""The two ports that a coordinator listens on."""

import socket

from federation.errors import LinkError
from server.settings import ServerSettings

LOOPBACK = "127.0.0.1"
"""Where the private port is bound, whatever the settings say about the public one."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; `LinkError` if the address is not this machine's or the port is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        why = str(error.strerror).split(" (while")[0]  # Python adds the address, which is named already
        raise LinkError(
            f"cannot listen on {host} port {port} ({why}). Stop the other program that uses it, or choose "
            "another bind or port in server.toml."
        ) from error


def require_free(settings: ServerSettings) -> None:
    """Raise `LinkError` unless both ports can be had now: a supervisor would only start in vain again and again."""
    for host, port in ((settings.bind, settings.port), (LOOPBACK, settings.private_port)):
        listen(host, port).close()
