"""The two keys of a node: one signs what the party says, one opens the connection to Flower."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from clients.settings import NodeFolder
from federation.errors import SignatureError
from federation.signing import Identity


def make_keys(folder: NodeFolder) -> Identity:
    """Create both key pairs in `folder`; keys that exist are never overwritten."""
    identity = Identity.create()
    identity.save(folder.identity)
    key = ec.generate_private_key(ec.SECP384R1())  # Flower takes NIST curves only
    _write(folder.supernode_key, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), 0o600)
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    _write(folder.supernode_public_key, public + b"\n", 0o644)
    return identity


def check_keys(folder: NodeFolder) -> Identity:
    """Load both keys, or `SignatureError`: missing, damaged, readable by others, or halves of different pairs."""
    identity = Identity.load(folder.identity)
    try:
        mode = folder.supernode_key.stat().st_mode & 0o777
        key = load_ssh_private_key(folder.supernode_key.read_bytes(), password=None)
        written = folder.supernode_public_key.read_bytes().split()[:2]
    except (OSError, ValueError) as error:
        raise SignatureError(
            f"{folder.supernode_key} or its .pub cannot be used ({error}). Restore them from a backup, or join anew."
        ) from error
    if os.name == "posix" and mode & 0o077:
        raise SignatureError(f"others may read {folder.supernode_key} (mode {mode:o}); run chmod 600 on it.")
    if key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[:2] != written:
        raise SignatureError(f"{folder.supernode_public_key} does not belong to supernode.key. Restore both together.")
    return identity


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise SignatureError(f"{path} exists already and is never overwritten. Move it away first.") from error
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
