"""A set of files under one signature: any changed bit, missing file or extra file is found, offline."""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import rfc8785
from pydantic import Field, ValidationError

from federation.errors import SignatureError, UsageError
from federation.ids import Fingerprint, TaskDigest
from federation.signing import Identity, fingerprint, verify
from federation.terms import HEX64, Part

LIST, SIGNATURE = "files.json", "signature.json"
DOMAIN = "paceline/release/1"
EPOCH = (1980, 1, 1, 0, 0, 0)


class FileList(Part):
    """What is signed: the SHA-256 of every file by name."""

    task: Annotated[TaskDigest, Field(pattern=HEX64)]
    files: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")], Annotated[str, Field(pattern=HEX64)]]


class Seal(Part):
    """The signature over the bytes of `LIST`."""

    public_key: Annotated[str, Field(pattern=HEX64)]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


@dataclass(frozen=True)
class Check:
    """One line of a verification."""

    check: str
    passed: bool
    detail: str


def seal(files: dict[str, bytes], task: TaskDigest, identity: Identity) -> dict[str, bytes]:
    """`files` with the list of their hashes and the signature over it."""
    listed = FileList(task=task, files={name: _sha256(data) for name, data in files.items()})
    text = rfc8785.dumps(listed.model_dump(mode="json"))
    signature = Seal(public_key=identity.public_key.hex(), signature=identity.sign(DOMAIN, text).hex())
    return files | {LIST: text, SIGNATURE: rfc8785.dumps(signature.model_dump(mode="json"))}


def read(path: Path) -> dict[str, bytes]:
    """The files of a folder, or of a ZIP file exactly as `pack` made it.

    `UsageError` if it cannot be read, `SignatureError` if the ZIP file is damaged.
    """
    try:
        if path.is_dir():
            return {item.name: item.read_bytes() for item in sorted(path.iterdir())}
        return _unpack(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); expected a release's folder or ZIP.") from error


def pack(files: dict[str, bytes]) -> bytes:
    """A ZIP file without times, rights and compression: the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def check(files: dict[str, bytes], coordinator: Fingerprint | None) -> list[Check]:
    """The signature, its key, the list, each file; `coordinator` is the fingerprint that the reader trusts."""
    try:
        listed, signer = _signed_list(files)
    except SignatureError as error:
        return [Check("signature", False, str(error))]
    lines = [Check("signature", True, "the list of files is signed"), _key(signer, coordinator)]
    lines += [_file(name, files.get(name), digest) for name, digest in sorted(listed.files.items())]
    extra = sorted(files.keys() - listed.files.keys() - {LIST, SIGNATURE})
    if extra:
        lines.append(Check("nothing else", False, f"not signed: {', '.join(extra)}"))
    return lines


def _signed_list(files: dict[str, bytes]) -> tuple[FileList, Fingerprint]:
    """The list, if exactly these bytes are signed."""
    missing = sorted({LIST, SIGNATURE} - files.keys())
    if missing:
        raise SignatureError(f"{', '.join(missing)} is missing; this is no release.")
    try:
        signature = Seal.model_validate_json(files[SIGNATURE])
        listed = FileList.model_validate_json(files[LIST])
    except ValidationError as error:
        raise SignatureError(f"{LIST} or {SIGNATURE} is damaged.") from error
    if rfc8785.dumps(signature.model_dump(mode="json")) != files[SIGNATURE]:
        raise SignatureError(f"{SIGNATURE} was changed.")
    key = bytes.fromhex(signature.public_key)
    verify(key, DOMAIN, files[LIST], bytes.fromhex(signature.signature))
    return listed, fingerprint(key)


def _key(signer: Fingerprint, trusted: Fingerprint | None) -> Check:
    if trusted is None:
        return Check("signer", True, f"{signer}: compare it with the coordinator's, or pass --fingerprint")
    return Check("signer", signer == trusted, f"signed by {signer}" + ("" if signer == trusted else f", not {trusted}"))


def _file(name: str, data: bytes | None, digest: str) -> Check:
    if data is None:
        return Check(name, False, "is missing")
    return Check(name, _sha256(data) == digest, f"SHA-256 {digest[:16]}…" if _sha256(data) == digest else "was changed")


def _unpack(data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise SignatureError("the ZIP file is compressed, which an exported release never is.")
            files = {entry.filename: archive.read(entry) for entry in entries}
    except SignatureError:
        raise
    except Exception as error:  # zipfile raises errors of a dozen kinds on damaged bytes
        raise SignatureError("this is no ZIP file of a release, or a damaged one.") from error
    if pack(files) != data:
        raise SignatureError("the ZIP file was changed after it was exported; ask for it again.")
    return files


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
