"""Our packed bytes as Flower messages: one array each way, in a bundle that carries no code."""

from federation import settings

settings.quiet_flower()  # before anything of Flower is imported

import hashlib  # noqa: E402
import io  # noqa: E402
import logging  # noqa: E402
import zipfile  # noqa: E402
from functools import cache  # noqa: E402

from flwr.app import Array, ArrayRecord, Message, RecordDict  # noqa: E402

from federation.errors import WireError  # noqa: E402

MESSAGE_TYPE = "query"
RECORD = "paceline"
ARRAY = "blob"
DTYPE = "uint8"
STYPE = "paceline.blob"
TASK_KEY = "paceline.task"

BUNDLE_TABLE = f"""\
[project]
name = "paceline"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "paceline"
fab-include = ["LICENSE"]

[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "clients.app:app"

[tool.flwr.app.config]
"{TASK_KEY}" = ""
"""
BUNDLE_LICENSE = "This bundle carries no code. Coordinator and nodes run what they installed themselves.\n"


def pack(blob: bytes) -> RecordDict:
    """The content of a Flower message that carries `blob`."""
    return RecordDict({RECORD: ArrayRecord({ARRAY: Array(DTYPE, (len(blob),), STYPE, blob)})})


def unpack(content: RecordDict, max_bytes: int) -> bytes:
    """The blob in `content`; `WireError` if there is anything more, less or bigger than one array of ours."""
    if list(content) != [RECORD] or not isinstance(record := content[RECORD], ArrayRecord) or list(record) != [ARRAY]:
        raise WireError(f"expected one record {RECORD!r} with one array {ARRAY!r}, found {sorted(content)}.")
    array = record[ARRAY]
    if (array.dtype, array.stype) != (DTYPE, STYPE) or tuple(array.shape) != (len(array.data),):
        raise WireError(f"expected bytes of type {STYPE}, found {array.stype} {array.dtype} of shape {array.shape}.")
    if len(array.data) > max_bytes:
        raise WireError(f"a message of {len(array.data)} bytes came, at most {max_bytes} are allowed.")
    return array.data


def answer_to(message: Message, blob: bytes) -> Message:
    """The reply to `message` that carries `blob`."""
    return Message(pack(blob), reply_to=message)


@cache
def bundle() -> bytes:
    """What Flower calls an app bundle: two texts, no code, the same bytes from every installation of this version."""
    files = {"pyproject.toml": BUNDLE_TABLE.encode(), "LICENSE": BUNDLE_LICENSE.encode()}
    listing = "\n".join(f"{name},{hashlib.sha256(data).hexdigest()},{len(data) * 8}" for name, data in files.items())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {**files, ".info/CONTENT": listing.encode()}.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def bundle_digest() -> str:
    """SHA-256 of the only bundle that our nodes take."""
    return hashlib.sha256(bundle()).hexdigest()


def adapt(owner: object, name: str, value: object) -> None:
    """Put ours in the place of a name inside Flower; fails loudly where a release of Flower has moved it."""
    if not hasattr(owner, name):
        raise RuntimeError(
            f"{owner!r} has no {name}: this version of flwr is not the one we adapted; install flwr 1.41."
        )
    setattr(owner, name, value)


def configure_logs() -> None:
    """For our processes: our own lines from INFO on, what Flower and its libraries say from WARNING on."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("paceline").setLevel(logging.INFO)
    flwr = logging.getLogger("flwr")
    flwr.handlers.clear()
    flwr.setLevel(logging.WARNING)
