"""Bytes between a SuperNode and Flower's SuperLink for one message, as Flower 1.41 sends it.

Up, what `FleetHttpConnection` sends for a reply: `PushMessagesRequest` (the message without its content, its tree of
objects), then a `PushObjectRequest` for each object. Down: `PullMessagesResponse` and a `PullObjectResponse` for each
object. Bodies of both as protobuf writes them; the small requests and responses that go the other way, the headers of
HTTP and TLS are left out.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.app.message.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import PullMessagesResponse, PushMessagesRequest
from flwr.proto.message_pb2 import PullObjectResponse, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.task_identity import TaskIdentity

from federation import flower

NODE_ID, RUN_ID = 2**63 - 25, 2**62 + 135
"""As long as those that Flower draws."""
TASK_ID, COORDINATOR = 2**62 + 77, 1
SESSION = "0" * 36
Both = tuple[int, int]
"""Bytes down, to a party, and up, to the coordinator."""


def fedavg(state: Mapping[str, torch.Tensor]) -> Both:
    """One party's train round of Flower's `FedAvg`, as its handbook writes one: weights both ways, two metrics."""
    _act()
    grid = cast(Grid, SimpleNamespace(get_node_ids=lambda: [NODE_ID]))
    strategy = FedAvg(min_train_nodes=1, min_available_nodes=1)
    arrays = ArrayRecord(torch_state_dict=dict(state))
    (asked,) = strategy.configure_train(1, arrays, ConfigRecord({"lr": 0.1}), grid)
    metrics = MetricRecord({"train_loss": 1.0, "num-examples": 1000})
    return _exchanged(asked, RecordDict({"arrays": arrays, "metrics": metrics}))


def carried(request: bytes, answer: bytes) -> Both:
    """The same of a request and an answer of ours, which travel as one array each."""
    _act()
    return _exchanged(Message(flower.pack(request), NODE_ID, flower.MESSAGE_TYPE), flower.pack(answer))


def _act() -> None:
    """Messages are made by tasks of a run; Flower tells each process which it is."""
    TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = RUN_ID, TASK_ID, COORDINATOR


def _exchanged(asked: Message, content: RecordDict) -> Both:
    asked.metadata.__dict__["_message_id"] = asked.object_id
    answer = Message(content, reply_to=asked)
    answer.metadata.__dict__["_message_id"] = answer.object_id
    return _down(asked), _up(answer)


def _down(message: Message) -> int:
    pulled = PullMessagesResponse(**_announced(message))
    objects = (
        PullObjectResponse(object_found=True, object_available=True, object_content=one.deflate())
        for one in get_all_nested_objects(message).values()
    )
    return int(pulled.ByteSize()) + sum(int(one.ByteSize()) for one in objects)


def _up(message: Message) -> int:
    node = Node(node_id=NODE_ID)
    pushed = PushMessagesRequest(node=node, clientapp_runtime_list=[1.0], **_announced(message))
    objects = (
        PushObjectRequest(node=node, run_id=RUN_ID, object_id=name, object_content=one.deflate(), session_id=SESSION)
        for name, one in get_all_nested_objects(message).items()
    )
    return int(pushed.ByteSize()) + sum(int(one.ByteSize()) for one in objects)


def _announced(message: Message) -> dict[str, Any]:
    return {
        "messages_list": [message_to_proto(remove_content_from_message(message))],
        "message_object_trees": [get_object_tree(message)],
    }
