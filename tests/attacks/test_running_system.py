"""Everything in Flower that is dangerous as shipped, tried on real processes (FLOWER.md)."""

import base64
import contextlib
import io
import os
import socket
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from federation import flower
from federation.ids import PartyId
from server.app import executor
from server.app.link import FlowerLink, over_http
from server.superlink import secrets
from server.superlink.control import Control, runs, start_run, stop_run
from simulations.processes.launch import Processes, wait_until
from simulations.processes.roles import PRIVATE_TEXT, runtime

pytestmark = pytest.mark.processes

FLEET_KEY, FLEET_SIGNATURE, FLEET_TIME = "flwr-public-key", "flwr-signature", "flwr-timestamp"
BOTH = (PartyId("p0"), PartyId("p1"))
PROTOBUF = {"content-type": "application/protobuf", "accept": "application/protobuf"}


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with Processes(tmp_path_factory.mktemp("federation"), ["p0", "p1"]) as processes:
        processes.start_all(executor=False)
        wait_until(lambda: connected(processes) >= 2, "two nodes are connected")
        yield processes


def connected(processes: Processes) -> int:
    log = processes.place.path / "logs" / "access.jsonl"
    return sum("activate-node" in line and '"status": 200' in line for line in log.read_text().splitlines())


def control_of(federation: Processes) -> Control:
    place = federation.place
    secret = secrets.load(place.path / "secrets").control
    return Control(f"127.0.0.1:{place.private_port}", place.path / "pki" / "ca.crt", secret)


def client_of(federation: Processes) -> httpx.Client:
    """A stranger who has the CA certificate, as every partner has."""
    context = ssl.create_default_context(cafile=str(federation.place.path / "pki" / "ca.crt"))
    return httpx.Client(verify=context, timeout=5.0)


def test_other_users_of_the_machine_cannot_read_flowers_database(federation: Processes) -> None:
    files = list(federation.place.path.glob("superlink.sqlite*"))
    assert files
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


@contextlib.contextmanager
def serverapp(federation: Processes, bundle: bytes | None = None) -> Iterator[FlowerLink]:
    """A run whose ServerApp is this test."""
    run_id = start_run(control_of(federation), "attack") if bundle is None else start_with(federation, bundle)
    token = acquire(federation, runtime(federation.place).secret)
    links: list[FlowerLink] = []
    ready, over = threading.Event(), threading.Event()

    def work(grid: executor.HttpGrid, context: object) -> None:
        links.append(over_http(grid, federation.place.active))
        ready.set()
        over.wait(120)

    thread = threading.Thread(target=executor.run_one, args=(runtime(federation.place), token, work))
    thread.start()
    try:
        assert ready.wait(30)
        yield links[0]
    finally:
        over.set()
        thread.join()
    assert next(run for run in runs(control_of(federation)) if run.run_id == run_id).status == "finished"


def acquire(federation: Processes, secret: bytes) -> str:
    from flwr.proto.runtime_pb2 import AcquireTaskRequest
    from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
    from flwr.supercore.runtime import RuntimeHttpClient

    client = RuntimeHttpClient.from_server_address(
        server_address=f"127.0.0.1:{federation.place.private_port}",
        insecure=False,
        root_certificates=(federation.place.path / "pki" / "ca.crt").read_bytes(),
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="flwr-serverapp"),
            SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=executor.ACQUIRE),
        ],
    )
    try:
        return str(client.AcquireTask(AcquireTaskRequest(supported_task_types=["flwr-serverapp"])).token)
    finally:
        client.close()


def start_with(federation: Processes, bundle: bytes) -> int:
    """What a coordinator that was taken over could do."""
    import hashlib

    from flwr.proto.control_pb2 import StartRunRequest, StartRunResponse
    from flwr.proto.fab_pb2 import Fab

    request = StartRunRequest(fab=Fab(hash_str=hashlib.sha256(bundle).hexdigest(), content=bundle))
    headers = {"authorization": f"Bearer {control_of(federation).secret.decode()}", **PROTOBUF}
    with client_of(federation) as client:
        url = f"https://127.0.0.1:{federation.place.private_port}/v1/control/start-run"
        response = client.post(url, content=request.SerializeToString(), headers=headers)
    return int(StartRunResponse.FromString(response.raise_for_status().content).run_id)


def signed(federation: Processes, party: str, sign: bool = True) -> dict[str, str]:
    """The headers with which a SuperNode proves its key."""
    key = load_ssh_private_key((federation.place.node(party) / "supernode.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    moment = datetime.now(UTC).isoformat()
    signature = key.sign(moment.encode(), ec.ECDSA(hashes.SHA256())) if sign else b"no signature"
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {
        **PROTOBUF,
        FLEET_KEY: base64.b64encode(public).decode(),
        FLEET_TIME: moment,
        FLEET_SIGNATURE: base64.b64encode(signature).decode(),
    }


def node_id(federation: Processes, party: str) -> int:
    return next(number for number, name in federation.place.active().items() if name == party)


def post(federation: Processes, path: str, headers: dict[str, str], content: bytes = b"", private: bool = False) -> int:
    port = federation.place.private_port if private else federation.place.port
    with client_of(federation) as client:
        return client.post(f"https://127.0.0.1:{port}{path}", headers=headers, content=content).status_code


def test_bytes_go_to_every_node_and_come_back(federation: Processes) -> None:
    with serverapp(federation) as link:
        assert link.reachable() == {"p0", "p1"}
        blob = b"\x00\xff" * 3_000_000
        replies = {reply.party: reply.blob for reply in link.ask(dict.fromkeys(BOTH, blob), 60)}
    assert replies == {"p0": blob, "p1": blob}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/list-runs",
        "/v1/control/start-run",
        "/v1/control/register-node",
        "/v1/runtime/acquire-task",
        "/v1/runtime/pull-task-input",
        "/v1/fleet/register-node",
        "/v1/fleet/unregister-node",
        "/v1/fleet/../control/list-runs",
        "/v1//control/list-runs",
        "/V1/control/list-runs",
        "/health",
        "/docs",
        "/openapi.json",
        "/redoc",
        "/",
    ],
)
def test_a_stranger_with_the_ca_certificate_finds_only_the_fleet_api(federation: Processes, path: str) -> None:
    for headers in (PROTOBUF, {**PROTOBUF, "authorization": f"Bearer {control_of(federation).secret.decode()}"}):
        assert post(federation, path, headers) == 404
    assert federation.get(federation.place.port, path).status_code == 404


@pytest.mark.parametrize("name", ["list-runs", "start-run", "stop-run"])
@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer wrong", "Basic wrong"])
def test_control_needs_its_secret(federation: Processes, name: str, authorization: str | None) -> None:
    before = runs(control_of(federation))
    headers = PROTOBUF if authorization is None else {**PROTOBUF, "authorization": authorization}
    assert post(federation, f"/v1/control/{name}", headers, private=True) == 401
    assert runs(control_of(federation)) == before


def test_what_we_do_not_use_is_closed_on_the_private_port_too(federation: Processes) -> None:
    headers = {**PROTOBUF, "authorization": f"Bearer {control_of(federation).secret.decode()}"}
    for path in (
        "/docs",
        "/openapi.json",
        "/v1/control/register-node",
        "/v1/fleet/pull-messages",
        "/v1/runtime/create-task",
    ):
        assert post(federation, path, headers, private=True) == 404


def test_a_run_cannot_be_taken_over(federation: Processes) -> None:
    run_id = start_run(control_of(federation), "attack")
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        acquire(federation, b"a guess")
    for path in ("pull-task-input", "push-messages", "pull-messages", "push-task-output", "pull-object", "get-nodes"):
        headers = {**PROTOBUF, "flwr-task-token": "0" * 64}
        assert post(federation, f"/v1/runtime/{path}", headers, private=True) == 401
        assert post(federation, f"/v1/runtime/{path}", PROTOBUF, private=True) == 401
    assert next(run for run in runs(control_of(federation)) if run.run_id == run_id).status == "pending"
    assert stop_run(control_of(federation), run_id)
    assert not stop_run(control_of(federation), run_id)


def test_code_in_a_bundle_is_never_executed(federation: Processes, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    code = f"open({str(marker)!r}, 'w').close()\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("pyproject.toml", flower.BUNDLE_TABLE.replace("clients.app:app", "evil:app"))
        for name in ("evil.py", "clients/app.py", "clients/__init__.py", "torch.py", "sitecustomize.py"):
            archive.writestr(name, code)
    with serverapp(federation, buffer.getvalue()) as link:
        replies = list(link.ask(dict.fromkeys(BOTH, b"run it"), 60))
    assert sorted(reply.party for reply in replies) == ["p0", "p1"]
    assert all(reply.blob is None and "the node failed" in reply.failure for reply in replies)
    assert not marker.exists()


def test_a_key_that_was_not_registered_is_refused(federation: Processes) -> None:
    place = federation.place
    stranger = place.node("stranger")
    stranger.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP384R1())
    (stranger / "supernode.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    for path in ("activate-node", "pull-messages", "push-object"):
        assert post(federation, f"/v1/fleet/{path}", signed(federation, "stranger")) == 401
    federation.start("supernode stranger")
    try:
        federation.running["supernode stranger"].wait(60)
    finally:
        federation.kill("supernode stranger")
    assert "stranger" not in place.active().values()


def test_a_registered_key_without_its_signature_is_refused(federation: Processes) -> None:
    from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest
    from flwr.proto.message_pb2 import PullObjectRequest
    from flwr.proto.node_pb2 import Node

    node = Node(node_id=node_id(federation, "p0"))
    headers = signed(federation, "p0", sign=False)
    calls = {
        "activate-node": ActivateNodeRequest(heartbeat_interval=30),
        "pull-messages": PullMessagesRequest(node=node),
        "pull-object": PullObjectRequest(node=node),
        "push-object": PullObjectRequest(node=node),
    }
    for path, call in calls.items():
        assert post(federation, f"/v1/fleet/{path}", headers, call.SerializeToString()) == 401
    other = PullObjectRequest(node=Node(node_id=node_id(federation, "p1"))).SerializeToString()
    assert post(federation, "/v1/fleet/pull-object", signed(federation, "p0"), other) == 401


def announce(federation: Processes, headers: dict[str, str]) -> int:
    """Say that a terabyte follows, send nothing of it, and read the status."""
    context = ssl.create_default_context(cafile=str(federation.place.path / "pki" / "ca.crt"))
    lines = [f"{name}: {value}" for name, value in {**headers, "host": "x", "content-length": str(2**40)}.items()]
    with (
        socket.create_connection(("127.0.0.1", federation.place.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall("\r\n".join(["POST /v1/fleet/push-object HTTP/1.1", *lines, "", ""]).encode())
        return int(connection.recv(1000).split()[1])


def test_a_huge_body_is_refused_before_it_is_read(federation: Processes) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(2**20)

    assert announce(federation, PROTOBUF) == 401
    assert announce(federation, signed(federation, "p0")) == 413
    with client_of(federation) as client:
        url = f"https://127.0.0.1:{federation.place.port}/v1/fleet/push-object"
        with contextlib.suppress(httpx.TransportError):  # it may hang up while we are still sending
            assert client.post(url, headers=signed(federation, "p0"), content=endless()).status_code == 413
    assert federation.listening()


def test_the_text_of_an_exception_stays_at_the_node(federation: Processes) -> None:
    with serverapp(federation) as link:
        replies = list(link.ask({PartyId("p0"): b"fail:"}, 60))
    assert [reply.blob for reply in replies] == [None]
    assert PRIVATE_TEXT in (federation.place.path / "logs" / "worker-p0.log").read_text()
    elsewhere = [*federation.place.path.glob("superlink*"), *(federation.place.path / "logs").glob("superlink*")]
    elsewhere.append(federation.place.path / "logs" / "access.jsonl")
    assert all(PRIVATE_TEXT.encode() not in path.read_bytes() for path in elsewhere)
    assert PRIVATE_TEXT not in repr(replies)


def test_a_node_cannot_answer_in_the_name_of_another(federation: Processes) -> None:
    from flwr.proto.fleet_pb2 import PushMessagesRequest
    from flwr.proto.message_pb2 import Message, Metadata
    from flwr.proto.node_pb2 import Node

    mine, other = node_id(federation, "p0"), node_id(federation, "p1")
    forged = Message(metadata=Metadata(src_node_id=other, dst_node_id=1, message_type="query", ttl=60))
    request = PushMessagesRequest(node=Node(node_id=mine), messages_list=[forged])
    content = request.SerializeToString()
    assert post(federation, "/v1/fleet/push-messages", signed(federation, "p0"), content) == 403


def test_a_revoked_node_is_refused_at_its_next_message(federation: Processes) -> None:
    from flwr.proto.fleet_pb2 import PullMessagesRequest
    from flwr.proto.node_pb2 import Node

    place = federation.place
    everybody = place.active()
    pull = PullMessagesRequest(node=Node(node_id=node_id(federation, "p1"))).SerializeToString()
    with serverapp(federation) as link:
        assert post(federation, "/v1/fleet/pull-messages", signed(federation, "p1"), pull) == 200
        place.set_active({number: party for number, party in everybody.items() if party != "p1"})
        try:
            assert post(federation, "/v1/fleet/pull-messages", signed(federation, "p1"), pull) == 401
            assert link.reachable() == {"p0"}
            replies = {reply.party: reply for reply in link.ask(dict.fromkeys(BOTH, b"x"), 60)}
        finally:
            place.set_active(everybody)
    assert replies[PartyId("p0")].blob == b"x"
    assert replies[PartyId("p1")].failure == "revoked, gone, or not joined"


@pytest.mark.parametrize(
    "module", ["clients.supernode", "clients.worker", "server.superlink.service", "server.app.task"]
)
def test_nothing_calls_home(module: str) -> None:
    """Flower reads these switches when it is imported, so they must stand before; not even in our environment."""
    program = (
        f"import {module}, os; from flwr.supercore import telemetry; "
        "print(telemetry.FLWR_TELEMETRY_ENABLED, os.environ['FLWR_DISABLE_UPDATE_CHECK'], "
        "os.environ['FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION'])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLWR_")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1", "1"]


def test_every_call_is_written_down_with_its_caller(federation: Processes) -> None:
    runs(control_of(federation))
    post(federation, "/v1/control/list-runs", PROTOBUF)
    lines = (federation.place.path / "logs" / "access.jsonl").read_text().splitlines()
    assert any('"caller": "operator"' in line and "list-runs" in line for line in lines)
    assert any('"port": "public"' in line and "list-runs" in line and '"status": 404' in line for line in lines)
    assert any('"caller": "p0"' in line and "activate-node" in line for line in lines)
