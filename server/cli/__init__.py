"""Commands of the operator: the coordinator, its tasks, its releases."""

from server.cli.release import release
from server.cli.server import server
from server.cli.task import task

__all__ = ["release", "server", "task"]
