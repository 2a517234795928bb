"""Settings, folders, files and ports as a stranger would get them wrong, typed at the command line."""

import socket
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.settings import DEFAULT_NODE_TOML
from server import supervisor
from simulations.ports import free_ports


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paceline: Callable[..., Any]) -> Path:
    """A node's folder that has not joined, with its databases."""
    folder = tmp_path / "node"
    folder.mkdir()
    (folder / "node.toml").write_text(DEFAULT_NODE_TOML)
    monkeypatch.setenv("PACELINE_NODE", str(folder))
    monkeypatch.chdir(tmp_path)
    assert paceline("node", "data").code == 0
    return folder


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paceline: Callable[..., Any]) -> Path:
    """A coordinator's folder."""
    public, private = free_ports(2)
    ports = ("--port", str(public), "--private-port", str(private))
    assert paceline("server", "init", "--dir", tmp_path / "server", *ports).code == 0
    monkeypatch.setenv("PACELINE_SERVER", str(tmp_path / "server"))
    return tmp_path / "server"


TYPOS = [
    ("max_epsilon = 1.0", "max_epsilom = 1.0", "max_epsilom: there is no such setting; did you mean 'max_epsilon'?"),
    ("threads = 1", "treads = 1", "treads: there is no such setting; did you mean 'threads'?"),
    ("max_epsilon = 1.0", "max_epsilon = nan", "policy.max_epsilon: "),
    ("max_epsilon = 1.0", "max_epsilon = -1.0", "policy.max_epsilon: "),
    ("min_people = 2", 'min_people = "two"', "policy.min_people: "),
    ("purposes = []", 'purposes = ["fun"]', "policy.purposes.0: "),
    ("[policy]", "[policy", "is not TOML"),
]


@pytest.mark.parametrize(("right", "wrong", "says"), TYPOS)
def test_a_slip_in_node_toml_is_told_and_allows_nothing(
    node: Path, refused: Callable[..., str], right: str, wrong: str, says: str
) -> None:
    (node / "node.toml").write_text(DEFAULT_NODE_TOML.replace(right, wrong))
    refused("node", "policy", says=(says, "node.toml"), folders=(node,), code=2)
    allow = ("node", "allow", "--workload", "running_pace")
    refused(*allow, says=(says, "node.toml"), folders=(node,), code=2)


@pytest.mark.parametrize(
    ("words", "says", "code"),
    [
        (("node", "allow", "--workload", "runing_pace"), ("runing_pace", "not installed here"), 1),
        (("node", "allow", "--purpose", "training"), ("'training'", "purposes are train-motion-models"), 2),
        (("node", "allow", "--max-epsilon", "inf"), ("policy.max_epsilon",), 2),
        (("node", "allow", "--max-epsilon", "much"), ("'much' is not a valid float",), 2),
        (("node", "up"), ("has not joined", "paceline node join TOKEN"), 1),
        (("node", "remove", "7"), ("there is no import 7", "paceline node data"), 2),
        (("consent", "show", "nobody"), ("nobody",), 1),
        (("consent", "export", "--out", "none/x.jsonl"), ("none/x.jsonl: No such file", "Check that the place"), 1),
        (("consent", "import", "none.jsonl"), ("none.jsonl cannot be read", "Nothing was recorded"), 2),
    ],
)
def test_a_slip_at_a_node_is_told(
    node: Path, refused: Callable[..., str], words: tuple[str, ...], says: tuple[str, ...], code: int
) -> None:
    refused(*words, says=says, folders=(node,), code=code)


def test_consent_lines_that_cannot_be_record_nothing_of_their_file(node: Path, refused: Callable[..., str]) -> None:
    Path("lines.jsonl").write_text('{"person": "ann"}\nnonsense\n')
    refused("consent", "import", "lines.jsonl", says=("line 1", "line 2"), folders=(node,))


@pytest.mark.parametrize("words", [("node", "status"), ("node", "check"), ("node", "up"), ("budget", "show")])
def test_a_coordinators_folder_is_no_nodes(server: Path, refused: Callable[..., str], words: tuple[str, ...]) -> None:
    says = ("is not a node's folder", "it holds no node.toml", "--dir")
    refused(*words, "--dir", server, says=says, folders=(server,), code=2)


@pytest.mark.parametrize("words", [("server", "up"), ("server", "parties"), ("task", "list"), ("release", "list")])
def test_a_nodes_folder_is_no_coordinators(node: Path, refused: Callable[..., str], words: tuple[str, ...]) -> None:
    says = ("is not a coordinator's folder", "it holds no server.toml", "server init")
    refused(*words, "--dir", node, says=says, folders=(node,), code=2)


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("bind", "bnd", "bnd: there is no such setting; did you mean 'bind'?"),
        ("private_port = ", "private_port = -", "private_port: "),
        ("name = ", "name = = ", "cannot be read"),
    ],
)
def test_a_slip_in_server_toml_starts_nothing(
    server: Path, refused: Callable[..., str], right: str, wrong: str, says: str
) -> None:
    settings = server / "server.toml"
    settings.write_text(settings.read_text().replace(right, wrong, 1))
    refused("server", "up", says=(says, "server.toml"), folders=(server,), code=2)
    assert not list((server / "logs").iterdir())


def test_a_coordinator_is_not_made_twice_or_with_one_port_for_two(
    server: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    again = ("server", "init", "--dir", server)
    refused(*again, says=("is a coordinator's folder already", "another --dir"), folders=(server,), code=2)
    same = ("server", "init", "--dir", tmp_path / "new", "--port", "9400", "--private-port", "9400")
    says = ("port and private_port are both 9400", "expected two different ones")
    refused(*same, says=says, folders=(tmp_path,), code=2)


@pytest.fixture(params=["port", "private_port"])
def taken(request: pytest.FixtureRequest, server: Path) -> Iterator[int]:
    """One of the coordinator's ports, on which another program listens."""
    lines = (line.split(" = ") for line in (server / "server.toml").read_text().splitlines())
    port = next(int(value) for key, value in lines if key == request.param)
    with socket.create_server(("127.0.0.1", port)):
        yield port


def test_a_port_in_use_is_told_at_once_and_nothing_is_started(
    server: Path, taken: int, refused: Callable[..., str]
) -> None:
    says = (
        f"cannot listen on 127.0.0.1 port {taken} (Address already in use)",
        "Stop the other program",
        "server.toml",
    )
    refused("server", "up", says=says, folders=(server,))
    assert not list((server / "logs").iterdir())
    assert supervisor.running(server) is None


def test_an_address_of_another_machine_is_told(server: Path, refused: Callable[..., str]) -> None:
    settings = server / "server.toml"
    settings.write_text(settings.read_text().replace('bind = "127.0.0.1"', 'bind = "192.0.2.1"'))
    refused("server", "up", says=("cannot listen on 192.0.2.1", "another bind or port"), folders=(server,))


@pytest.mark.parametrize(
    ("content", "says", "code"),
    [
        (b"", ("archive: this is no ZIP file of a release",), 1),
        (b"PK\3\4 cut", ("archive: this is no ZIP file of a release",), 1),
        (None, ("cannot be read", "expected a release's folder or ZIP"), 2),
    ],
)
def test_what_is_no_release_is_told(
    refused: Callable[..., str], tmp_path: Path, content: bytes | None, says: tuple[str, ...], code: int
) -> None:
    path = tmp_path / "r.zip"
    if content is not None:
        path.write_bytes(content)
    refused("release", "verify", path, says=says, folders=(tmp_path,), code=code)


def test_an_archive_of_other_things_is_no_release(refused: Callable[..., str], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "holiday.zip", "w") as archive:
        archive.writestr("photo.jpg", b"\xff\xd8")
    refused("release", "verify", tmp_path / "holiday.zip", says=("archive:",), folders=(tmp_path,))
    (tmp_path / "empty").mkdir()
    says = ("files.json, signature.json is missing", "this is no release")
    refused("release", "verify", tmp_path / "empty", says=says, folders=(tmp_path,))


def test_the_demo_leaves_a_folder_with_other_things_alone(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    says = ("holds something that no demo wrote", "name an empty folder with --out")
    refused("demo", "--out", tmp_path, says=says, folders=(tmp_path,), code=2)
