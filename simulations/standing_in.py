"""A workload in the place of the closed list of installed ones: studies train what no node would be asked to."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from federation import workloads
from federation.workload import Workload

NO_FILE = "0" * 64
"""The digest of a workload that no file defines."""


@contextmanager
def standing_in(workload: Workload) -> Iterator[None]:
    """Nodes and coordinators of this process find `workload` under its name, until the block ends.

    It keeps the digest of the installed workload of that name, if there is one: it must not differ in what travels.
    """
    find, digest = workloads.find, workloads.digest

    def found(name: str) -> Workload:
        return workload if name == workload.name else find(name)

    def digested(name: str) -> str:
        return NO_FILE if name == workload.name and name not in workloads.INSTALLED else digest(name)

    with mock.patch.multiple(workloads, find=found, digest=digested):
        yield
