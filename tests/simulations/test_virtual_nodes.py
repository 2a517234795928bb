"""Flower's simulation engine under our apps: every party answers, errors surface, nothing is left behind."""

import signal
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from federation import flower
from federation.errors import LinkError, UsageError
from federation.ids import PartyId
from server.app.link import FlowerLink
from simulations import ray_cluster
from simulations.processes.roles import PRIVATE_TEXT, echo
from simulations.ray_cluster import PREFIX, ray_running
from simulations.scenario import RayTerms
from simulations.settings import ray_environment

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
PARTIES = 3

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed")


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def open_to_others() -> list[str]:
    """Addresses beyond the loopback interface on which this process or a child listens."""
    found = [
        connection.laddr.ip
        for process in (psutil.Process(), *children())
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert found, "Ray listens somewhere"
    return [address for address in found if address not in LOOPBACK]


def app_of(main: Callable[[Grid], None]) -> ServerApp:
    app = ServerApp()

    @app.main()
    def run(grid: Grid, context: Context) -> None:
        assert context.run_config == {flower.TASK_KEY: "echo"}
        main(grid)

    return app


@pytest.mark.processes
@needs_ray
def test_every_party_answers_and_ctrl_c_leaves_nothing_behind_even_of_busy_workers() -> None:
    from simulations.virtual_nodes import MemoryInbox, virtual_nodes

    def party(number: int) -> Callable[[bytes], bytes]:
        return lambda blob: echo(blob if number == 1 else blob.removeprefix(b"fail:")) + b" by %d" % number

    handler = signal.getsignal(signal.SIGTERM)
    before = {child.pid for child in children()}
    answers, failures = [], {}
    with virtual_nodes(party, PARTIES, RayTerms(cpus=2, object_store_mb=256)) as nodes:

        def ask(grid: Grid) -> None:
            link = FlowerLink(
                grid, lambda: {node: PartyId(f"p{n}") for node, n in nodes.nodes.items()}, MemoryInbox(nodes)
            )
            assert link.reachable() == {"p0", "p1", "p2"}
            answers.extend(link.ask(dict.fromkeys(["p0", "p1", "p2"], b"hello"), 60))
            failures.update(
                {reply.party: reply.failure for reply in link.ask(dict.fromkeys(["p0", "p1"], b"fail:x"), 60)}
            )
            assert open_to_others() == []
            ctrl_c = threading.Timer(1.0, signal.raise_signal, [signal.SIGINT])
            ctrl_c.start()
            list(link.ask(dict.fromkeys(["p0", "p1", "p2"], b"sleep:60"), 100))

        with pytest.raises(KeyboardInterrupt):
            nodes.run(app_of(ask), "echo")
        ended = time.monotonic()
    assert time.monotonic() - ended < 30
    assert not any(thread.name == "flower-simulation" for thread in threading.enumerate())
    assert signal.getsignal(signal.SIGTERM) == handler

    assert {reply.party: reply.blob for reply in answers} == {f"p{n}": b"hello by %d" % n for n in range(PARTIES)}
    assert failures == {"p0": "", "p1": "the node failed (Flower's code 2)"}
    assert PRIVATE_TEXT not in str(failures)
    assert {child.pid for child in children()} <= before
    assert list(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")) == []


def test_an_engine_that_has_ended_fails_the_round_at_once() -> None:
    from simulations.virtual_nodes import MemoryInbox, VirtualNodes

    nodes = VirtualNodes(grid=None, nodes={})  # type: ignore[arg-type]
    nodes.failure.append(RuntimeError("ActorPool is empty"))
    nodes.ended.set()
    with pytest.raises(LinkError, match="ended early: ActorPool is empty"):
        list(MemoryInbox(nodes).collect({"1"}))


def test_without_ray_the_error_says_which_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'paceline\[ray\]'"), ray_running("", 1, 256):
        pass


def test_a_cluster_that_is_not_there_is_said_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"no Ray cluster answers at 127\.0\.0\.1:1: .*ray start --head"):
        ray_cluster._join("127.0.0.1:1")
    assert time.monotonic() - began < 10


def test_what_we_start_is_for_this_process_only_and_nothing_calls_home() -> None:
    local = ray_environment(local=True, token="t" * 64)
    assert local["RAY_AUTH_MODE"] == "token"
    assert local["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    joined = ray_environment(local=False, token="t" * 64)
    assert {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}.isdisjoint(joined)
    assert local["RAY_USAGE_STATS_ENABLED"] == joined["RAY_USAGE_STATS_ENABLED"] == "0"
