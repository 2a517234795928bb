"""Our bytes as Flower messages; the bundle; names inside Flower that we adapt."""

import hashlib
import importlib
import io
import zipfile

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from federation import flower
from federation.errors import WireError

TOUCHED = {
    "flwr.superlink.main": ["get_federation_manager", "create_app"],
    "flwr.superlink.servicer.fleet.fleet_handlers": ["activate_node", "push_messages", "push_object", "pull_object"],
    "flwr.superlink.servicer.runtime.runtime_handlers": ["push_object", "pull_object"],
    "flwr.superlink.routers.fleet.node_auth": ["authenticate_node"],
    "flwr.superlink.federation": ["NoOpFederationManager"],
    "flwr.superlink.config_loader": ["SuperLinkLifespanConfig"],
    "flwr.superlink.cli.flower_superlink": ["SuperLinkLifespan"],
    "flwr.superlink.grid.http_grid": ["HttpGrid"],
    "flwr.supercore.dependencies.task": ["authenticate_task"],
    "flwr.supercore.retry.http_retry": ["MAX_RETRY_DELAY", "make_simple_http_retry_invoker"],
    "flwr.supercore.inflatable.inflatable_utils": ["pull_objects", "inflate_object_from_contents"],
    "flwr.supernode.start_client_internal": [
        "time",
        "_verify_fab",
        "_init_connection",
        "_pull_and_store_message",
        "_push_messages",
        "start_client_internal",
    ],
    "flwr.supernode.servicer.runtime.runtime_handlers": ["acquire_task"],
    "flwr.supernode.runtime.run_clientapp": ["push_message"],
    "flwr.server.superlink.fleet.vce": ["start_vce"],
    "flwr.server.superlink.fleet.vce.metrics": ["VceMetrics"],
    "flwr.server.superlink.linkstate": ["LinkState", "LinkStateFactory"],
    "flwr.server.superlink.linkstate.in_memory_linkstate": ["InMemoryLinkState", "RunRecord"],
    "flwr.superlink.grid": ["InMemoryGrid"],
}


@pytest.mark.parametrize("module", TOUCHED)
def test_every_name_inside_flower_that_we_touch_is_still_there(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in TOUCHED[module] if not hasattr(found, name)] == []


def test_attributes_inside_flower_that_we_touch_are_still_there() -> None:
    from flwr.superlink.grid import HttpGrid
    from flwr.supernode.nodestate.in_memory_nodestate import InMemoryNodeState

    grid = HttpGrid("127.0.0.1:1", True, None, token="t")
    assert grid.node.node_id == 1
    assert grid._retry_invoker.max_tries is None
    assert isinstance(HttpGrid._runtime_client, property)
    assert callable(InMemoryNodeState._store_error_replies)


def test_a_name_that_is_gone_is_said_loudly() -> None:
    with pytest.raises(RuntimeError, match=r"has no gone.*install flwr 1\.41"):
        flower.adapt(flower, "gone", None)
    assert not hasattr(flower, "gone")


@given(st.binary(max_size=2000))
def test_bytes_come_back_as_they_were(blob: bytes) -> None:
    assert flower.unpack(flower.pack(blob), 2000) == blob


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"paceline": ConfigRecord({"blob": b"x"})}),
        RecordDict({"other": ArrayRecord({"blob": Array("uint8", (1,), "paceline.blob", b"x")})}),
        RecordDict({"paceline": ArrayRecord({"other": Array("uint8", (1,), "paceline.blob", b"x")})}),
        RecordDict({"paceline": ArrayRecord({"blob": Array("uint8", (2,), "paceline.blob", b"x")})}),
        RecordDict({"paceline": ArrayRecord({"blob": Array("float32", (1,), "paceline.blob", b"x")})}),
        RecordDict({"paceline": ArrayRecord({"blob": Array("uint8", (1,), "numpy.ndarray", b"x")})}),
        RecordDict({**flower.pack(b"x"), "more": ConfigRecord()}),
    ],
)
def test_anything_but_one_array_of_ours_is_refused(content: RecordDict) -> None:
    with pytest.raises(WireError, match="expected"):
        flower.unpack(content, 100)


def test_a_message_over_the_limit_is_refused() -> None:
    with pytest.raises(WireError, match="101 bytes came, at most 100"):
        flower.unpack(flower.pack(bytes(101)), 100)


def test_the_bundle_has_no_code_and_is_the_same_everywhere() -> None:
    with zipfile.ZipFile(io.BytesIO(flower.bundle())) as archive:
        assert sorted(archive.namelist()) == [".info/CONTENT", "LICENSE", "pyproject.toml"]
    first = flower.bundle()
    flower.bundle.cache_clear()
    assert flower.bundle() == first
    assert flower.bundle_digest() == hashlib.sha256(first).hexdigest()


def test_flower_takes_the_bundle_for_an_app() -> None:
    from flwr.common.config import get_fab_config

    app = get_fab_config(flower.bundle())["tool"]["flwr"]["app"]
    assert app["config"] == {flower.TASK_KEY: ""}
