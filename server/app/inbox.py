"""Takes replies out of Flower, one in memory at a time, however slowly some of them are uploaded."""

from federation import flower  # noqa: F401  (before flwr: it switches telemetry off)

# isort: split
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from flwr.app import Message
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectUnavailableError,
    inflate_object_from_contents,
    pull_objects,
)
from flwr.superlink.grid import HttpGrid

CHUNK_BYTES = 5 * 2**20
OTHER_OBJECTS = 8
PATIENCE_S = 1.0
BACKOFF_S = 0.02

Arrived = Message | str
"""A reply, or what is wrong with it."""


@dataclass
class _Upload:
    """A reply that was announced; `missing` are parts that had not come when we last looked."""

    asked: str
    number: str
    parts: list[str]
    missing: list[str]


class Inbox(Protocol):
    """Where the replies to our messages are found."""

    def collect(self, numbers: set[str]) -> Iterator[tuple[str, Arrived]]:
        """Replies to the messages `numbers` that are complete now, each with the number that it answers."""


class HttpInbox:
    """The replies that nodes uploaded to the SuperLink. A slow upload does not keep the others waiting."""

    def __init__(self, grid: HttpGrid, max_bytes: int) -> None:
        self._grid = grid
        self._max_parts = max_bytes // CHUNK_BYTES + OTHER_OBJECTS
        self._unfinished: dict[str, _Upload] = {}

    def collect(self, numbers: set[str]) -> Iterator[tuple[str, Arrived]]:
        """Replies to the messages `numbers` that are complete now, each with the number that it answers."""
        found = self._grid._runtime_client.PullMessages(
            PullAppMessagesRequest(message_ids=numbers - set(self._unfinished))
        )
        late = list(self._unfinished.values())
        for proto, tree in zip(found.messages_list, found.message_object_trees, strict=True):
            upload = _upload(proto.metadata.reply_to_message_id, proto.metadata.message_id, tree)
            if (reply := self._fresh(upload)) is None:
                self._unfinished[upload.asked] = upload
            else:
                yield self._done(upload, reply)
            reply = None  # whoever took it is done with it: the next one comes alone
        for upload in late:
            if (reply := self._unfinished_yet(upload)) is not None:
                del self._unfinished[upload.asked]
                yield self._done(upload, reply)
            reply = None

    def _fresh(self, upload: _Upload) -> Arrived | None:
        """The reply, if its parts come within a moment; none of one that has more parts than the size allows."""
        if len(upload.parts) > self._max_parts:
            return f"a reply of {len(upload.parts)} parts came, at most {self._max_parts} are allowed"
        try:
            return self._read(upload)
        except ObjectPullError:
            return None

    def _unfinished_yet(self, upload: _Upload) -> Arrived | None:
        """The reply, once a look at each missing part has found it."""
        fetch = self._fetch()
        try:
            while upload.missing:
                fetch(upload.missing[-1])
                upload.missing.pop()
            return self._read(upload)
        except ObjectUnavailableError:
            return None
        except ObjectPullError:
            return "the reply was not uploaded completely"

    def _read(self, upload: _Upload) -> Arrived:
        contents = pull_objects(
            upload.parts,
            self._fetch(),
            max_time=PATIENCE_S,
            max_tries_per_object=None,
            initial_backoff=BACKOFF_S,
            backoff_cap=10 * BACKOFF_S,
        )
        try:
            message = inflate_object_from_contents(upload.number, contents)
        except Exception:  # whatever a node may have put together; Flower's reader does not say what it can raise
            return "the reply cannot be read"
        return message if isinstance(message, Message) else "the reply is not a message"

    def _done(self, upload: _Upload, reply: Arrived) -> tuple[str, Arrived]:
        self._grid._runtime_client.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(
                node=self._grid.node, run_id=self._grid.run.run_id, message_object_id=upload.number
            )
        )
        return upload.asked, reply

    def _fetch(self) -> Callable[[str], bytes]:
        return make_pull_object_fn_protobuf(
            self._grid._runtime_client.PullObject, self._grid.node, self._grid.run.run_id
        )


def _upload(asked: str, number: str, tree: ObjectTree) -> _Upload:
    parts = list(dict.fromkeys(part.object_id for part in iterate_object_tree(tree)))
    return _Upload(asked, number, parts, list(parts))
