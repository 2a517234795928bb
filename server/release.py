"""Finished models: weights, card and signed task in a folder whose every bit the coordinator signs."""

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from federation.errors import ManifestError, PacelineError, SignatureError, UsageError
from federation.ids import Fingerprint
from federation.signing import Identity, fingerprint, parse_signed_manifest, verify_manifest
from federation.terms import HEX64
from server import card, sealed
from server import settings as server_settings
from server.sealed import Check, FileList, Seal
from server.settings import ServerFolder
from server.store import ReleaseRecord, ServerStore

MODEL, CARD, CARD_TEXT, TASK = "model.safetensors", "card.json", "card.md", "task.json"


def make_release(store: ServerStore, folder: ServerFolder, name: str) -> ReleaseRecord:
    """Write the release of a task's last committed model and record it.

    The same committed rounds give the same bytes, so that it can be made again after a crash.
    """
    task = store.task(name)
    model = store.latest_model(task.digest)
    if model is None or model.round == 0:
        raise ManifestError(f"task {name} has no trained model yet; see: paceline task status {name}")
    identity, settings = Identity.load(folder.identity_key), server_settings.load(folder)
    described = card.card(store, task, settings)
    signed = store.signed_manifest(name)
    files = {
        MODEL: model.data,
        CARD: card.as_json(described),
        CARD_TEXT: card.as_markdown(described).encode(),
        TASK: signed.model_dump_json(indent=2).encode(),
    }
    contents = sealed.seal(files, task.digest, identity)
    _write(folder.releases / name, contents)
    record = ReleaseRecord(
        task=task.digest,
        path=name,
        digest=hashlib.sha256(contents[sealed.LIST]).hexdigest(),
        created_at=store.rounds(task.digest)[-1].committed_at,
    )
    store.add_release(record)
    return record


def contents(store: ServerStore, folder: ServerFolder, name: str) -> dict[str, bytes]:
    """The files of a release, or `UsageError` if there is none."""
    record = store.release(store.task(name).digest)
    if record is None:
        raise UsageError(f"task {name} has no release yet; see: paceline task status {name}")
    return sealed.read(folder.releases / record.path)


def archive(store: ServerStore, folder: ServerFolder, name: str) -> bytes:
    """The release as a ZIP file; the same release gives the same bytes."""
    return sealed.pack(contents(store, folder, name))


def export(store: ServerStore, folder: ServerFolder, name: str, target: Path) -> Path:
    """Write the ZIP file of a release to `target`, which must not exist; a folder gets ``NAME.zip``."""
    path = target / f"{name}.zip" if target.is_dir() else target
    data = archive(store, folder, name)
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already; choose another --out.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); choose another --out.") from error
    return path


def show(store: ServerStore, folder: ServerFolder, name: str) -> dict[str, Any]:
    """The card of a release."""
    return card.parse(contents(store, folder, name)[CARD])


def trusted(text: str) -> Fingerprint | None:
    """A fingerprint as somebody typed it, or None for an empty text; `UsageError` for anything else."""
    if not text:
        return None
    digits = text.lower().replace(":", "").replace(" ", "")
    if not re.fullmatch(HEX64, digits):
        raise UsageError("--fingerprint has 64 hexadecimal digits; see `paceline server status` at the coordinator.")
    return Fingerprint(digits)


def verify_release(path: Path, coordinator: Fingerprint | None) -> list[Check]:
    """Each check of a release, offline; `coordinator` is the fingerprint that the reader trusts, if known."""
    try:
        files = sealed.read(path)
    except SignatureError as error:
        return [Check("archive", False, str(error))]
    lines = sealed.check(files, coordinator)
    if not all(line.passed for line in lines):
        return lines
    return lines + [_tried(name, check, files) for name, check in CHECKS.items()]


def _task_is_signed(files: dict[str, bytes]) -> str:
    signed = parse_signed_manifest(files[TASK])
    verify_manifest(signed, signed.manifest.coordinator, signed.manifest.issued_at)
    key = Seal.model_validate_json(files[sealed.SIGNATURE]).public_key
    if fingerprint(bytes.fromhex(key)) != signed.manifest.coordinator:
        raise SignatureError("the release is signed by another key than the task names as its coordinator.")
    return f"signed by coordinator and algorithm provider; digest {signed.manifest.digest()[:16]}…"


def _card_belongs_to_task(files: dict[str, bytes]) -> str:
    described, manifest = card.parse(files[CARD]), parse_signed_manifest(files[TASK]).manifest
    listed = FileList.model_validate_json(files[sealed.LIST]).task
    if not described["lineage"]["task"] == listed == manifest.digest():
        raise ManifestError("card, list of files and signed task are of different tasks.")
    if described["privacy"]["terms"] != manifest.privacy.model_dump(mode="json"):
        raise ManifestError("the card states other privacy terms than the signed task.")
    if card.as_markdown(described).encode() != files[CARD_TEXT]:
        raise ManifestError("card.md says something else than card.json.")
    return "card and task agree; the task's privacy figures were computed again"


def _weights_are_those_of_the_card(files: dict[str, bytes]) -> str:
    described, digest = card.parse(files[CARD]), hashlib.sha256(files[MODEL]).hexdigest()
    if not digest == described["model"]["digest"] == described["lineage"]["rounds"][-1]["model"]:
        raise ManifestError("the weights are not those of the last round in the card.")
    try:
        weights = safetensors.numpy.load(files[MODEL])
    except safetensors.SafetensorError as error:
        raise ManifestError("the weights are no safetensors file.") from error
    if not all(np.isfinite(tensor).all() for tensor in weights.values()):
        raise ManifestError("the weights hold NaN or infinite numbers.")
    return f"{len(weights)} tensors, {sum(tensor.size for tensor in weights.values())} finite numbers"


CHECKS = {"task": _task_is_signed, "card": _card_belongs_to_task, "weights": _weights_are_those_of_the_card}


def _tried(name: str, check: Callable[[dict[str, bytes]], str], files: dict[str, bytes]) -> Check:
    try:
        return Check(name, True, check(files))
    except PacelineError as error:
        return Check(name, False, str(error))
    except KeyError as error:
        return Check(name, False, f"{error} is missing")


def _write(target: Path, contents: dict[str, bytes]) -> None:
    """Replace the folder in one step: nobody sees half a release."""
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, data in contents.items():
        (fresh / name).write_bytes(data)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
