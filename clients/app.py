"""The Flower ClientApp: hands our packed request to the node's rounds and their answer back."""

from federation import flower

# isort: split
from collections.abc import Callable

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

MAX_REQUEST_BYTES = 512 * 2**20

Answer = Callable[[bytes], bytes]
Find = Callable[[Context], Answer]
"""Who answers: the one node of a worker, or the party that a virtual node of Flower's simulation stands for."""


def client_app(find: Find) -> ClientApp:
    """An app that gives every message's bytes to whom `find` names and sends back the answer."""
    app = ClientApp()

    @app.query()
    def query(message: Message, context: Context) -> Message:
        answer = find(context)
        return flower.answer_to(message, answer(flower.unpack(message.content, MAX_REQUEST_BYTES)))

    return app
