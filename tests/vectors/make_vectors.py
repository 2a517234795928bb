"""Writes the files beside it: run it once for each new version of the formats, never to make a test pass.

Good files hold bytes that this and every later version must read; files under ``bad/`` are named for their damage,
and ``bad/expected.json`` says with which error each must be refused.
"""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from federation import wire
from federation.codecs import find, lane
from privacy.secagg import sealing, secrets, shamir
from privacy.secagg.masking import mask
from simulations import secure_specimens, specimens
from simulations.specimens import RUNNERS, identity

HERE = Path(__file__).parent
COORDINATOR, PARTY = identity("coordinator"), identity(RUNNERS)
SECURE_PARTY = identity(secure_specimens.ASKED)
PAYLOAD = find("int8_block").encode(np.sin(np.arange(300, dtype=np.float32)), 5)


def main() -> None:
    write_good()
    expected = {}
    for side, make in (("request", bad_requests()), ("answer", bad_answers()), ("task", bad_tasks())):
        for damage, (data, error, text) in make.items():
            name = f"{side}-{damage}.{'json' if side == 'task' else 'blob'}"
            (HERE / "bad" / name).write_bytes(data)
            expected[name] = [error, text]
    (HERE / "bad/expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


def write_good() -> None:
    (HERE / "bad").mkdir(exist_ok=True)
    (HERE / "manifest.json").write_bytes(specimens.manifest().canonical())
    (HERE / "manifest.sha256").write_text(specimens.manifest().digest() + "\n")
    (HERE / "shared-manifest.json").write_bytes(specimens.shared_manifest().canonical())
    (HERE / "signed-manifest.json").write_text(specimens.signed_manifest().model_dump_json())
    (HERE / "membership.json").write_text(specimens.membership().model_dump_json())
    (HERE / "acceptance.json").write_text(specimens.acceptance().model_dump_json())
    (HERE / "checkpoint.json").write_text(specimens.checkpoint().model_dump_json())
    for request, payload in specimens.requests(PAYLOAD):
        (HERE / f"request-{request.kind}.blob").write_bytes(wire.pack(request, payload, COORDINATOR))
    for answer, payload in specimens.answers(PAYLOAD):
        (HERE / f"answer-{answer.kind}.blob").write_bytes(wire.pack(answer, payload, PARTY))
    for name, (header, payload) in secure_specimens.requests(PAYLOAD).items():
        (HERE / f"request-{name}.blob").write_bytes(wire.pack(header, payload, COORDINATOR))
    for name, (header, payload) in secure_specimens.answers().items():
        (HERE / f"answer-{name}.blob").write_bytes(wire.pack(header, payload, SECURE_PARTY))
    for name, cases in (("codecs", codec_cases()), ("codecs-bad", bad_codec_cases()), ("lanes", lane_cases())):
        (HERE / f"{name}.json").write_text(json.dumps(list(cases), indent=0, ensure_ascii=False) + "\n")
    (HERE / "secagg.json").write_text(json.dumps(secagg_case(), indent=1) + "\n")


def codec_cases():
    cases = {
        "empty": [],
        "zeros": [0.0, -0.0],
        "ramp": [step / 8 for step in range(-8, 9)],
        "spiky": [100.0, 1e-3, -1e-3, 0.5] + [0.25] * 252 + [-3.0, math.pi],
    }
    for name, bits in (
        ("raw32", 0.0),
        ("raw16", 0.0),
        ("int8_block", 0.0),
        ("urq", 0.25),
        ("urq", 2.0),
        ("ecq", 0.5),
        ("ecq", 4.0),
    ):
        for what, values in cases.items():
            vector, codec = np.array(values, np.float32), find(name, bits)
            data = codec.encode(vector, 11)
            yield {
                "codec": name,
                "bits": bits,
                "what": what,
                "seed": 11,
                "vector": [float(value).hex() for value in vector],
                "bytes": data.hex(),
                "decoded": [float(value).hex() for value in codec.decode(data, len(vector), 11)],
            }


def secagg_case():
    """Three parties with known seeds, of whom the third drops."""
    context = b"task, round 3, attempt 1"
    seeds = {point: [bytes([point]) * 32, bytes([16 + point]) * 32] for point in (1, 2, 3)}
    publics = {point: secrets.public_key(seed) for point, (seed, _) in seeds.items()}
    sealer, reader = b"s" * 32, b"r" * 32
    coefficients = bytes(range(64)) + bytes(range(128, 192))
    shares = shamir.split(seeds[1][0], 3, [1, 2, 3, 4, 5], io.BytesIO(coefficients))
    masked = {
        bits: {point: masked_lanes(bits, point, seeds, publics, context) for point in (1, 2)} for bits in (4, 8, 16, 20)
    }
    return {
        "context": context.hex(),
        "seeds": {point: [seed.hex() for seed in pair] for point, pair in seeds.items()},
        "publics": {point: key.hex() for point, key in publics.items()},
        "pair_key_1_2": secrets.pair_key(seeds[1][0], publics[2], context).hex(),
        "self_key_1": secrets.self_key(seeds[1][1], context).hex(),
        "seal_keys": [sealer.hex(), reader.hex()],
        "plaintext": b"two shares".hex(),
        "sealed": sealing.seal(sealer, secrets.public_key(reader), context, b"two shares").hex(),
        "threshold": 3,
        "coefficients": coefficients.hex(),
        "shares": {point: share.hex() for point, share in shares.items()},
        "masked": masked,
    }


def masked_lanes(bits, point, seeds, publics, context):
    """What a party sends of the vector 0, 1, 2, …"""
    lanes = np.arange(12, dtype=np.uint16 if bits <= 16 else np.uint32)
    return mask(lanes, bits, secrets.Secrets(*seeds[point]), point, publics, context).lanes.tolist()


def bad_codec_cases():
    ramp = np.linspace(-1, 1, 300, dtype=np.float32)
    nan, infinite = (np.float32(value).tobytes() for value in (math.nan, math.inf))
    length, step, damaged = "expected at most", "step that no sender writes", "(is|are) damaged"
    for name, head in (("urq", 5), ("ecq", 8)):
        data = find(name, 2.0).encode(ramp, 11)
        larger = find(name, 4.0).encode(ramp, 11)
        scale = slice(2, 5) if name == "urq" else slice(0, 4)
        for what, bytes_, text in (
            ("empty", b"", length),
            ("head-cut-off", data[: head - 1], length),
            ("byte-cut-off", data[:-1], damaged),
            ("byte-left-over", data + b"\1", f"{length}|{damaged}"),
            ("four-bytes-missing", data[:head] + data[head + 4 :], damaged),
            ("last-byte-empty", data[:-1] + bytes(1), "empty byte"),
            ("over-the-budget", larger, length),
            ("scale-nan", data[: scale.start] + nan[scale.start // 2 :] + data[scale.stop :], step),
            ("scale-infinite", data[: scale.start] + infinite[scale.start // 2 :] + data[scale.stop :], step),
            ("zeros-and-more", bytes(head + 4), step),
        ):
            yield {"codec": name, "bits": 2.0, "size": 300, "what": what, "bytes": bytes_.hex(), "error": text}
    data = find("ecq", 2.0).encode(ramp, 11)
    for what, place, value in (("class-unknown", 6, 25), ("ratio-unknown", 7, 64)):
        bytes_ = data[:place] + bytes([value]) + data[place + 1 :]
        yield {"codec": "ecq", "bits": 2.0, "size": 300, "what": what, "bytes": bytes_.hex(), "error": damaged}


def lane_cases():
    for bits in (4, 7, 8, 12, 16, 17, 24):
        lanes = lane.wrap(
            np.array([0, 1, -1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), *range(-6, 7), 5], np.int64), bits
        )
        padded = lane.wrap(np.pad(lane.unwrap(lanes, bits), (0, 32 - len(lanes))), bits)
        decoded = lane.from_lanes(padded, 30, 0.5, 3, bits, 11)
        yield {
            "bits": bits,
            "lanes": lanes.tolist(),
            "bytes": lane.pack(lanes, bits).hex(),
            "seed": 11,
            "clip": 0.5,
            "parties": 3,
            "decoded": [float(value).hex() for value in decoded],
        }


def reseal(blob: bytes, edit: Callable[[bytes], bytes], domain: str, signer=None) -> bytes:
    """`blob` with an edited header and a fresh signature: what a hostile insider can send."""
    header, payload = specimens.parts(blob)
    return wire.seal(edit(header), payload, signer or (COORDINATOR if domain == wire.REQUEST else PARTY), domain)


def damages(blob: bytes, domain: str) -> dict[str, tuple[bytes, str, str]]:
    signer = COORDINATOR if domain == wire.REQUEST else PARTY
    other = wire.ANSWER if domain == wire.REQUEST else wire.REQUEST
    return {
        "empty": (b"", "WireError", "these 0 bytes are no message"),
        "wrong-magic": (b"PCL1" + blob[4:], "WireError", "begin with PCL2"),
        "header-cut-off": (blob[:100], "WireError", "the message declares a header of"),
        "header-one-byte-short": (blob[:-65] + blob[-64:], "SignatureError", "does not fit the bytes"),
        "payload-cut-off": (blob[:307] + blob[308:], "WireError", "a payload of 307 bytes where the header"),
        "left-over-byte": (blob + b"\0", "SignatureError", "does not fit the bytes"),
        "unsigned": (blob[:-64] + bytes(64), "SignatureError", "does not fit the bytes"),
        "bit-flip-in-payload": (flipped(blob, 8 + len(PAYLOAD) // 2), "WireError", "SHA-256 differs"),
        "bit-flip-in-header": (flipped(blob, len(blob) - 100), "SignatureError", "does not fit the bytes"),
        "huge-header-length": (blob[:4] + b"\xff" * 4 + blob[8:], "WireError", "declares a header of 4294967295 bytes"),
        "by-another-key": (
            reseal(blob, bytes, domain, identity("eve")),
            "SignatureError",
            "does not fit the bytes and the expected key",
        ),
        "signed-in-another-domain": (reseal(blob, bytes, other, signer), "SignatureError", "does not fit the bytes"),
        "header-not-json": (reseal(blob, lambda _: b"\x80\x04K\x01.", domain), "WireError", "not a valid message"),
        "header-deeply-nested": (
            reseal(blob, lambda _: b'{"header":' + b"[" * 100_000, domain),
            "WireError",
            "not a valid message",
        ),
        "header-of-unknown-kind": (
            reseal(blob, lambda header: header.replace(b'"kind":"', b'"kind":"x'), domain),
            "WireError",
            "does not match any of the expected tags",
        ),
        "header-with-a-key-too-many": (
            reseal(blob, lambda header: header.replace(b'"round":3', b'"round":3,"run":"rm"'), domain),
            "WireError",
            "Extra inputs are not permitted",
        ),
        "header-with-a-repeated-key": (
            reseal(blob, lambda header: header.replace(b'"round":3', b'"round":2,"round":3'), domain),
            "WireError",
            "not in canonical form",
        ),
        "header-with-spaces": (
            reseal(blob, lambda header: header.replace(b'":', b'": '), domain),
            "WireError",
            "not in canonical form",
        ),
        "header-with-nan": (
            reseal(blob, lambda header: header.replace(b'"round":3', b'"round":NaN'), domain),
            "WireError",
            "not a valid message",
        ),
        "header-with-text-for-a-number": (
            reseal(blob, lambda header: header.replace(b'"round":3', b'"round":"3"'), domain),
            "WireError",
            "should be a valid integer",
        ),
        "payload-size-lies": (
            reseal(blob, lambda header: header.replace(b'"payload_bytes":308', b'"payload_bytes":9000'), domain),
            "WireError",
            "where the header declares 9000",
        ),
        "payload-hash-lies": (
            reseal(blob, lambda header: header[:-66] + b"0" * 64 + header[-2:], domain),
            "WireError",
            "SHA-256 differs",
        ),
        "payload-too-big": (
            wire.seal(bytes_of_header(blob), bytes(5000), signer, domain),
            "WireError",
            "a payload of 5000 bytes; the task allows at most 4096",
        ),
    }


def bad_requests() -> dict[str, tuple[bytes, str, str]]:
    train, initialise = (wire.pack(*specimens.requests(PAYLOAD)[index], COORDINATOR) for index in (0, 2))
    bare = bytes_of_header(initialise)
    return (
        damages(train, wire.REQUEST)
        | bad_secure_requests()
        | {
            "initialise-with-payload": (
                wire.seal(with_payload(bare, b"x"), b"x", COORDINATOR, wire.REQUEST),
                "WireError",
                "a message of InitialiseRequest has no payload",
            ),
            "is-an-answer": (
                wire.seal(
                    bytes_of_header(wire.pack(*specimens.answers(b"")[3], PARTY)), b"", COORDINATOR, wire.REQUEST
                ),
                "WireError",
                "does not match any of the expected tags",
            ),
        }
    )


def bad_answers() -> dict[str, tuple[bytes, str, str]]:
    update, scores, refusal = (wire.pack(*specimens.answers(PAYLOAD)[index], PARTY) for index in (1, 2, 3))
    return (
        damages(update, wire.ANSWER)
        | bad_secure_answers()
        | {
            "refusal-with-payload": (
                wire.seal(with_payload(bytes_of_header(refusal), b"x"), b"x", PARTY, wire.ANSWER),
                "WireError",
                "a message of RefusalAnswer has no payload",
            ),
            "refusal-with-free-text": (
                reseal(refusal, lambda header: header.replace(b"no-consent", b"she said no"), wire.ANSWER),
                "WireError",
                "Input should be",
            ),
            "scores-infinite": (
                reseal(scores, lambda header: header.replace(b'"rows":40.25', b'"rows":1e999'), wire.ANSWER),
                "WireError",
                "finite number",
            ),
        }
    )


def bad_secure_requests() -> dict[str, tuple[bytes, str, str]]:
    """Of secure rounds, and of views: under a good signature, but against their own rules."""
    blobs = {name: wire.pack(*one, COORDINATOR) for name, one in secure_specimens.requests(PAYLOAD).items()}
    key = secure_specimens.advertisement(secure_specimens.ASKED).mask_key.encode()
    edits = {
        "roster-key-too-short": ("train-masked", key, key[:-2], "should match pattern"),
        "roster-key-in-capitals": ("train-masked", key, key.upper(), "should match pattern"),
        "roster-without-signature": ("train-masked", b'"signature":', b'"signed":', "Field required"),
        "roster-spelled-out-though-none": ("train-differences", b'"round":3', b'"roster":null,"round":3', "canonical"),
        "differences-without-bases": ("train-differences", b'"carries":"differences",', b"", "model with 2 bases"),
        "carries-something-else": ("train-differences", b'"differences"', b'"everything"', "Input should be"),
        "nothing-with-bases": ("train-differences", b'"differences"', b'"nothing"', "nothing with 2 bases"),
        "survivors-none": ("agree", b'["runners-1","runners-2"]', b"[]", "at least 1 item"),
        "survivors-too-many": ("agree", b'["runners-1"', b"[" + b'"a",' * 100 + b'"runners-1"', "at most 100 items"),
        "survivor-without-a-name": ("agree", b'["runners-1"', b'[""', "should match pattern"),
        "attempt-below-zero": ("agree", b'"of_attempt":4', b'"of_attempt":-4', "greater than or equal to 0"),
        "agreed-with-a-short-signature": ("unmask", b'"agreed":{"runners-1":"', b'"agreed":{"runners-1":"0', "match"),
        "acceptance-without-key": ("prepare", b'"seal_key":"', b'"seal":"', "Field required"),
    }
    damaged = {
        name: (
            reseal(blobs[of], lambda header, old=old, new=new: header.replace(old, new, 1), wire.REQUEST),
            "WireError",
            text,
        )
        for name, (of, old, new, text) in edits.items()
    }
    for name, of in (("prepare", "PrepareRequest"), ("agree", "AgreeRequest")):
        header = with_payload(bytes_of_header(blobs[name]), b"x")
        blob = wire.seal(header, b"x", COORDINATOR, wire.REQUEST)
        damaged[f"{name}-with-payload"] = (blob, "WireError", f"a message of {of} has no payload")
    return damaged


def bad_secure_answers() -> dict[str, tuple[bytes, str, str]]:
    """Of secure rounds, signed by the party whose answers the other bad ones are."""
    blobs = {name: wire.pack(*one, PARTY) for name, one in secure_specimens.answers().items()}
    edits = {
        "prepared-without-key": ("prepared", b'"mask_key":', b'"key":', "Field required"),
        "prepared-with-a-key-too-many": ("prepared", b'"mask_key":', b'"key":"","mask_key":', "Extra inputs"),
        "agreed-with-a-short-signature": ("agreed", b'"agreement":"', b'"agreement":"0', "should match pattern"),
        "unmasked-with-text-for-a-key": ("unmasked-last", b'"advertisement":null', b'"advertisement":"none"', "valid"),
    }
    damaged = {
        name: (
            reseal(blobs[of], lambda header, old=old, new=new: header.replace(old, new, 1), wire.ANSWER),
            "WireError",
            text,
        )
        for name, (of, old, new, text) in edits.items()
    }
    blob = wire.seal(with_payload(bytes_of_header(blobs["agreed"]), b"x"), b"x", PARTY, wire.ANSWER)
    return damaged | {"agreed-with-payload": (blob, "WireError", "a message of AgreedAnswer has no payload")}


def flipped(blob: bytes, place: int) -> bytes:
    return blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]


def bytes_of_header(blob: bytes) -> bytes:
    return specimens.parts(blob)[0]


def with_payload(header: bytes, payload: bytes) -> bytes:
    return header.replace(b'"payload_bytes":0', b'"payload_bytes":%d' % len(payload))


def bad_tasks() -> dict[str, tuple[bytes, str, str]]:
    signed = specimens.signed_manifest().model_dump_json().encode()
    keys = [key.public_key.hex().encode() for key in (COORDINATOR, identity("eve"))]
    edits = {
        "unsigned": (signed[signed.index(b"signatures") :], b'signatures":[]}', "is not signed by its coordinator"),
        "edited-after-signing": (b"spring", b"autumn", "does not fit the bytes"),
        "signature-of-eve": (keys[0], keys[1], "by another key than the task names"),
        "cut-off": (signed[-10:], b"", "this is not a valid task"),
        "left-over-bytes": (b"}]}", b"}]}{}", "trailing characters"),
        "noise-zero": (b'"noise_multiplier":1.0', b'"noise_multiplier":0.0', "greater than or equal to 0.1"),
        "noise-nan": (b'"noise_multiplier":1.0', b'"noise_multiplier":NaN', "should be a finite number"),
        "clip-infinite": (b'"clip":0.5', b'"clip":Infinity', "should be a finite number"),
        "sampling-rate-above-one": (b'"sampling_rate":0.25', b'"sampling_rate":1.25', "less than or equal to 1"),
        "billion-attempts": (b'"max_attempts":12', b'"max_attempts":1000000000', "less than or equal to 100000"),
        "epsilon-too-small": (b'"epsilon":5.067', b'"epsilon":0.5', "contradicts the other terms"),
        "unknown-key": (b'"rounds":10', b'"rounds":10,"run":"rm"', "Extra inputs"),
    }
    of_signature = {"unsigned", "edited-after-signing", "signature-of-eve"}
    return {
        damage: (signed.replace(old, new), "SignatureError" if damage in of_signature else "ManifestError", text)
        for damage, (old, new, text) in edits.items()
    }


if __name__ == "__main__":
    main()
