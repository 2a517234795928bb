"""The Flower ClientApp: hands our packed request to the node's rounds and their answer back."""

from federation import flower

# isort: split
from collections.abc import Callable

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

MAX_REQUEST_BYTES = 512 * 2**20

Answer = Callable[[bytes], bytes]


def client_app(answer: Answer) -> ClientApp:
    """An app that gives every message's bytes to `answer` and sends back what it returns."""
    app = ClientApp()

    @app.query()
    def query(message: Message, context: Context) -> Message:
        return flower.answer_to(message, answer(flower.unpack(message.content, MAX_REQUEST_BYTES)))

    return app
