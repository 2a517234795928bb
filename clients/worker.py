"""The warm worker of a node: takes tasks from its SuperNode and runs the installed ClientApp, never a bundle's code."""

from federation import flower

# isort: split
import contextlib
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import context_from_proto
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
)
from flwr.supercore.constant import TASK_TOKEN_HEADER, TaskType
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.inflatable import inflatable_utils
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
)
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.runtime.run_clientapp import push_message

from clients.app import Answer, client_app
from clients.settings import NodeFolder
from federation.supervision import end_with_parent

POLL_S = 0.05
RETRY_S = 0.5
OBJECT_BACKOFF_S = 0.05
MESSAGE_WAIT_S = 5.0
HEARTBEAT_AFTER_S = 10.0
ACQUIRE = frozenset({"/flwr.proto.Runtime/AcquireTask"})
FAILED = "internal"
"""All that a coordinator is told when our own code fails: never the text of an exception."""

log = logging.getLogger("paceline.worker")


@dataclass(frozen=True)
class SuperNodeAddress:
    """Where this node's SuperNode listens for its worker, and the secret between the two."""

    address: str
    secret: bytes = field(repr=False)


def address_file(folder: Path) -> Path:
    """Where the SuperNode writes its address and secret at every start."""
    return NodeFolder(folder).secrets / "runtime.json"


def read_address(folder: Path) -> SuperNodeAddress | None:
    """What the SuperNode wrote, if it has started."""
    try:
        given = json.loads(address_file(folder).read_text("utf-8"))
        return SuperNodeAddress(given["address"], given["secret"].encode())
    except (OSError, ValueError, KeyError):
        return None


def main(folder: Path) -> None:
    """Work for the node in `folder` until killed."""
    from clients.rounds import answer, open_node  # torch takes its time; not for those who only want `work`

    node = open_node(folder)
    work(folder, lambda blob: answer(node, blob))


def work(folder: Path, answer: Answer) -> None:
    """Take tasks and answer them with `answer`; survives restarts of the SuperNode."""
    app = client_app(lambda _: answer)
    while True:
        place = read_address(folder)
        try:
            if place is not None:
                _serve(place, app)
        except (httpx.HTTPError, RuntimeError) as error:
            log.warning("the SuperNode does not answer (%s); trying again", type(error).__name__)
        except inflatable_utils.ObjectPullError:
            log.warning("the message was withdrawn before all of it had come; its run has ended")
        time.sleep(RETRY_S)


def _serve(place: SuperNodeAddress, app: ClientApp) -> None:
    token = _Token()
    client = RuntimeHttpClient.from_server_address(
        server_address=place.address,
        insecure=True,
        root_certificates=None,
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"),
            SuperExecAuthHttpInterceptor(master_secret=place.secret, protected_methods=ACQUIRE),
            token,
        ],
    )
    try:
        while True:
            token.value = ""
            token.value = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])).token
            if token.value:
                with _alive(client):
                    _answer_one(client, app)
            else:
                time.sleep(POLL_S)
    finally:
        client.close()


class _Token:
    """Adds the token of the present task, if any, to each call."""

    def __init__(self) -> None:
        self.value = ""

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        if self.value:
            context.request.headers[TASK_TOKEN_HEADER] = self.value
        return call_next(context)


@contextlib.contextmanager
def _alive(client: RuntimeHttpClient) -> Iterator[None]:
    """Tell the SuperNode that a long task is still worked on; a short one needs no heartbeat."""
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    later = threading.Timer(HEARTBEAT_AFTER_S, heartbeat.start)
    later.daemon = True
    later.start()
    try:
        yield
    finally:
        later.cancel()
        if heartbeat.is_running:
            heartbeat.stop()


def _answer_one(client: RuntimeHttpClient, app: ClientApp) -> None:
    message, context = _input(client)
    status = SubStatus.COMPLETED
    try:
        reply = app(message, context)
    except Exception:
        log.exception("the message was not answered")
        status = SubStatus.FAILED
        reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, FAILED), reply_to=message)
    push_message(client, reply, context)
    client.PushTaskOutput(PushTaskOutputRequest(sub_status=status, details=""))


def _input(client: RuntimeHttpClient) -> tuple[Message, Context]:
    """The message to answer. The run's bundle comes along with it and is not even looked at."""
    given = client.PullTaskInput(PullTaskInputRequest())
    context = context_from_proto(given.context)
    TaskIdentity.task_id, TaskIdentity.run_id = given.task_id, given.run.run_id
    TaskIdentity.node_id = context.node_id
    tree = _tree(client)
    node = Node(node_id=context.node_id)
    message = inflatable_utils.pull_and_inflate_object_from_tree(
        tree,
        make_pull_object_fn_protobuf(client.PullObject, node, context.run_id),
        make_confirm_message_received_fn_protobuf(client.ConfirmMessageReceived, node, context.run_id),
        return_type=Message,
        initial_backoff=OBJECT_BACKOFF_S,
    )
    message.metadata.__dict__["_message_id"] = tree.object_id
    return message, context


def _tree(client: RuntimeHttpClient) -> ObjectTree:
    """Which parts the message has; the SuperNode makes the task a moment before it stores the message."""
    end = time.monotonic() + MESSAGE_WAIT_S
    while not (found := client.PullMessages(PullAppMessagesRequest())).message_object_trees:
        if time.monotonic() > end:
            raise RuntimeError("the SuperNode handed out a task without a message")
        time.sleep(POLL_S)
    tree: ObjectTree = found.message_object_trees[0]
    return tree


if __name__ == "__main__":
    flower.configure_logs()
    end_with_parent()
    main(Path(sys.argv[1]))
