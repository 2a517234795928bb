"""What is fuzzed: every decoder of bytes from outside, before and behind its signature."""

import base64
import hashlib
from functools import partial
from pathlib import Path
from random import Random
from tempfile import NamedTemporaryFile

import numpy as np
from pydantic import ValidationError

from federation import acceptance, audit, enrolment, shared_view, signing, wire
from federation.codecs import BUDGETED, CODECS, Codec, lane
from federation.errors import EnrolmentError, SignatureError
from federation.manifest import parse
from federation.messages import Answer, Request
from federation.roles import Role
from federation.terms import ExchangeTerms
from server import sealed as release_files
from simulations import secure_specimens, specimens
from simulations.fuzz.mutations import mutate_bytes, mutate_json
from simulations.fuzz.secure_targets import secure_targets
from simulations.fuzz.target import Target
from simulations.specimens import NOW, RUNNERS, identity

COORDINATOR, PARTY = identity("coordinator"), identity(RUNNERS)
MAX_PAYLOAD_BYTES = 4096
CODEC_SIZES = (1, 700)
LANES, LANE_BITS = 333, (7, 20)
DIFFERENCES = 3
_VIEWS = ExchangeTerms(min_parties=1, down="ecq", down_bits=2.0)
_FIRST_VIEW = shared_view.View(np.zeros(CODEC_SIZES[1], np.float32))


def targets() -> tuple[Target, ...]:
    """All targets, in a fixed order."""
    vectors = (*_codecs(), *_lanes(), _differences())
    others = (_token(), _token_body(), _join(), _proof(), _release())
    return (*_messages(), *_documents(), *vectors, *others, *secure_targets())


def _messages() -> tuple[Target, ...]:
    payload = np.ones(64, np.float32).tobytes()
    asked = (*specimens.requests(payload), *secure_specimens.requests(payload).values())
    questions = tuple(wire.pack(header, data, COORDINATOR) for header, data in asked)
    given = (*specimens.answers(payload), *secure_specimens.answers().values())
    answers = tuple(wire.pack(header, data, PARTY) for header, data in given)
    return tuple(
        Target(name, seeds, mutate, decode, sealed)
        for kind, seeds, decode, signer, domain in (
            ("request", questions, _read_request, COORDINATOR, wire.REQUEST),
            ("answer", answers, _read_answer, PARTY, wire.ANSWER),
        )
        for name, mutate, sealed in (
            (kind, partial(_bytes, seeds), True),
            (f"{kind}, signed again", partial(_sealed_again, seeds, signer, domain), False),
        )
    )


def _documents() -> tuple[Target, ...]:
    signed, listed = specimens.signed_manifest(), specimens.membership()
    checkpoint, yes = specimens.checkpoint(), specimens.acceptance()
    task, without_privacy = signed.manifest.canonical(), specimens.open_manifest().canonical()
    return tuple(
        Target(name, (seed,), partial(_json_or_bytes, seed), decode, sealed)
        for name, seed, decode, sealed in (
            ("task", task, _read_task, False),
            ("task without privacy", without_privacy, _read_task, False),
            ("task, signed again", task, _read_task_signed_again, False),
            ("signed task", signed.model_dump_json().encode(), _read_signed_task, True),
            ("membership", listed.model_dump_json().encode(), _read_membership, True),
            ("membership, signed again", listed.membership.model_dump_json().encode(), _read_membership_again, False),
            ("acceptance", yes.model_dump_json().encode(), _read_acceptance, True),
            ("checkpoint", checkpoint.model_dump_json().encode(), _read_checkpoint, True),
        )
    )


def _codecs() -> tuple[Target, ...]:
    draw = np.random.default_rng(3)
    return tuple(
        Target(
            f"codec {codec.name}, {size} values",
            (seed,),
            partial(_bytes, (seed,)),
            partial(_decode, codec, size),
            False,
        )
        for codec in (*CODECS.values(), *(make(0.25) for make in BUDGETED.values()))
        for size in CODEC_SIZES
        for seed in (codec.encode(draw.normal(size=size).astype(np.float32), 5),)
    )


def _lanes() -> tuple[Target, ...]:
    draw = np.random.default_rng(4)
    return tuple(
        Target(f"lanes of {bits} bits", (seed,), partial(_bytes, (seed,)), partial(_unpack, bits), False)
        for bits in LANE_BITS
        for seed in (lane.pack(draw.integers(0, 2**bits, LANES).astype(lane.width(bits)), bits),)
    )


def _differences() -> Target:
    models = np.random.default_rng(1).standard_normal((DIFFERENCES, CODEC_SIZES[1])).astype(np.float32)
    seed = shared_view.join([shared_view.difference(_FIRST_VIEW, model, _VIEWS) for model in models])
    return Target("differences of views", (seed,), partial(_bytes, (seed,)), _follow, False)


def _token() -> Target:
    seed = enrolment.encode_token(_invitation()).encode()
    return Target("join token", (seed,), partial(_bytes, (seed,)), _read_token, False)


def _token_body() -> Target:
    """Behind the checksum, which anybody can compute."""
    seed = _token_of(enrolment.encode_token(_invitation()).encode())
    return Target("join token, checksum again", (seed,), partial(_json_or_bytes, seed), _read_token_body, False)


def _join() -> Target:
    request = enrolment.JoinRequest(
        secret="ab" * 32,
        identity_key=PARTY.public_key.hex(),
        supernode_key="ecdsa-sha2-nistp384 AAAA",
        signature="cd" * 64,
    )
    seed = request.model_dump_json().encode()
    return Target("join request", (seed,), partial(_json_or_bytes, seed), _read_join, False)


def _proof() -> Target:
    leaves = [audit.leaf_hash(bytes([number])) for number in range(13)]
    seed = b"".join(audit.inclusion_proof(leaves, 5))
    top = audit.root(leaves)

    def read(data: bytes) -> bytes:
        proof = tuple(data[start : start + 32] for start in range(0, len(data), 32))
        audit.verify_inclusion(leaves[5], 5, 13, proof, top)
        return data

    return Target("inclusion proof", (seed,), partial(_bytes, (seed,)), read, True)


def _release() -> Target:
    files = {"model.safetensors": bytes(64), "card.json": b"{}", "task.json": specimens.manifest().canonical()}
    seed = release_files.pack(release_files.seal(files, specimens.manifest().digest(), COORDINATOR))
    return Target("release", (seed,), partial(_bytes, (seed,)), _read_release, True)


def _bytes(seeds: tuple[bytes, ...], data: bytes, draw: Random) -> bytes:
    return mutate_bytes(data, draw, seeds)


def _json_or_bytes(seed: bytes, data: bytes, draw: Random) -> bytes:
    return mutate_json(data, draw) if draw.random() < 0.7 else mutate_bytes(data, draw, (seed,))


def _sealed_again(seeds: tuple[bytes, ...], signer: signing.Identity, domain: str, data: bytes, draw: Random) -> bytes:
    """What a hostile insider can send: damaged, with a good signature."""
    header, payload = specimens.parts(data)
    if (what := draw.random()) < 0.7:
        header = mutate_json(header, draw)
    elif what < 0.85:
        header = mutate_bytes(header, draw, seeds)
    else:
        payload = mutate_bytes(payload, draw, seeds)
    return wire.seal(header, payload, signer, domain)


def _read_request(data: bytes) -> bytes:
    return _again(*wire.read_request(data, COORDINATOR.public_key, MAX_PAYLOAD_BYTES), COORDINATOR)


def _read_answer(data: bytes) -> bytes:
    return _again(*wire.read_answer(data, PARTY.public_key, MAX_PAYLOAD_BYTES), PARTY)


def _again(header: Request | Answer, payload: memoryview, signer: signing.Identity) -> bytes:
    """What was read can be sent on."""
    return wire.pack(header, payload, signer)


def _read_task(data: bytes) -> bytes:
    task = parse(data)
    canonical = task.canonical()
    if parse(canonical).canonical() != canonical:
        raise AssertionError("the canonical form of a task changes when it is read again")
    return canonical


def _read_task_signed_again(data: bytes) -> bytes:
    signed = specimens.signed_manifest(parse(data))
    return signing.verify_manifest(signed, COORDINATOR.fingerprint, NOW).canonical()


def _read_signed_task(data: bytes) -> bytes:
    signed = signing.parse_signed_manifest(data)
    return signing.verify_manifest(signed, COORDINATOR.fingerprint, NOW).canonical()


def _read_membership(data: bytes) -> bytes:
    signed = signing.parse_signed_membership(data)
    return signing.verify_membership(signed, COORDINATOR.fingerprint, 0).model_dump_json().encode()


def _read_membership_again(data: bytes) -> bytes:
    unsigned = b'{"membership":%b,"public_key":"%b","signature":"%b"}'
    filler = (data, COORDINATOR.public_key.hex().encode(), b"00" * 64)
    membership = signing.parse_signed_membership(unsigned % filler).membership
    signed = signing.sign_membership(COORDINATOR, membership)
    return signing.verify_membership(signed, COORDINATOR.fingerprint, 0).model_dump_json().encode()


def _read_acceptance(data: bytes) -> bytes:
    found = acceptance.parse_acceptance(data)
    acceptance.verify_acceptance(found, specimens.manifest())
    return found.model_dump_json().encode()


def _read_checkpoint(data: bytes) -> bytes:
    checkpoint = audit.parse_checkpoint(data)
    audit.verify_checkpoint(checkpoint, PARTY.public_key)
    return checkpoint.model_dump_json().encode()


def _unpack(bits: int, data: bytes) -> bytes:
    return lane.pack(lane.unpack(data, LANES, bits), bits)


def _follow(data: bytes) -> bytes:
    view = _FIRST_VIEW
    for coded in shared_view.split(data, DIFFERENCES):
        view = shared_view.moved(view, coded, _VIEWS)
    return view.vector.tobytes()


def _decode(codec: Codec, size: int, data: bytes) -> bytes:
    vector = codec.decode(data, size, 5)
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise AssertionError("a decoder gave values that it must refuse")
    return vector.tobytes()


def _read_token(data: bytes) -> bytes:
    return enrolment.decode_token(data.decode(errors="replace")).model_dump_json().encode()


def _token_of(token: bytes) -> bytes:
    encoded = token.removeprefix(enrolment.TOKEN_PREFIX.encode())
    return base64.urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4))[: -enrolment.CHECKSUM_BYTES]


def _read_token_body(data: bytes) -> bytes:
    whole = data + hashlib.sha256(data).digest()[: enrolment.CHECKSUM_BYTES]
    return _read_token(enrolment.TOKEN_PREFIX.encode() + base64.urlsafe_b64encode(whole).rstrip(b"="))


def _read_join(data: bytes) -> bytes:
    try:
        request = enrolment.JoinRequest.model_validate_json(data)
    except ValidationError as error:
        raise EnrolmentError("not a join request") from error
    return enrolment.join_bytes(request)


def _read_release(data: bytes) -> bytes:
    with NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        files = release_files.read(Path(file.name))
    failed = [line.check for line in release_files.check(files, COORDINATOR.fingerprint) if not line.passed]
    if failed:
        raise SignatureError(f"damaged: {failed}")
    return release_files.pack(files)


def _invitation() -> enrolment.Invitation:
    return enrolment.Invitation(
        address="https://coordinator.example:9443",
        ca_sha256="12" * 32,
        coordinator=COORDINATOR.fingerprint,
        secret="ab" * 32,
        party=RUNNERS,
        role=Role.DATA_PROVIDER,
        name="City Runners",
        expires_at=specimens.EXPIRES,
    )
