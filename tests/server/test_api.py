"""What strangers, members and former members may do over HTTP."""

import json
from typing import Any

import pytest

from federation.acceptance import ACCEPTANCE, accept
from federation.enrolment import MAX_BODY_BYTES
from federation.ids import PartyId
from federation.signing import (
    Identity,
    SignedManifest,
    canonical,
    sign_digest,
    verify_manifest,
)
from server.store import TaskState


def refused(response: Any, status: int, code: str) -> str:
    """The message of an answer that must be this refusal."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert set(response.json()) == {"error", "code"}
    return str(response.json()["error"])


@pytest.fixture
def ready(joined: Any) -> Any:
    return joined


@pytest.fixture
def task(ready: Any) -> Any:
    return ready.new_task()


def test_certificate_and_time_are_for_everyone(office: Any) -> None:
    assert office.call("GET", "/ca.pem").content == office.folder.ca_certificate.read_bytes()
    assert office.call("GET", "/time").json() == {"time": office.clock().isoformat()}


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc", "/", "/tasks/../../etc/passwd", "/join/x"])
def test_there_is_nothing_at_other_addresses(office: Any, path: str) -> None:
    refused(office.call("GET", path), 404, "unknown-address")


def test_another_method_is_refused(office: Any) -> None:
    refused(office.call("DELETE", "/tasks"), 405, "unknown-address")


def test_joining_answers_who_the_coordinator_is(office: Any) -> None:
    invitation = office.invite("City Runners")
    response = office.call(
        "POST", "/join", office.join_request(invitation, Identity.create()).model_dump_json().encode()
    )
    assert response.json() == {
        "party": "city-runners",
        "name": "City Runners",
        "role": "data-provider",
        "coordinator_key": Identity.load(office.folder.identity_key).public_key.hex(),
        "coordinator_name": "Test Federation",
    }


def test_tokens_that_cannot_be_used_are_told_apart(office: Any) -> None:
    invitation = office.invite("City Runners", valid_hours=1)
    late = office.invite("Late Runners", valid_hours=1)
    request = office.join_request(invitation, Identity.create()).model_dump_json().encode()
    assert office.call("POST", "/join", request).status_code == 200
    other = office.join_request(invitation, Identity.create()).model_dump_json().encode()
    assert "was used on" in refused(office.call("POST", "/join", other), 403, "token-used")
    office.clock.forward(hours=1)
    request = office.join_request(late, Identity.create()).model_dump_json().encode()
    assert "expired on" in refused(office.call("POST", "/join", request), 403, "token-expired")
    forged = invitation.model_copy(update={"secret": "0" * 64})
    request = office.join_request(forged, Identity.create()).model_dump_json().encode()
    assert "not known here" in refused(office.call("POST", "/join", request), 403, "token-unknown")
    assert len(office.store.parties()) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"secret": "x"}', b"\xff" * 100, b"[" * 100_000])
def test_a_body_of_another_kind_is_refused(office: Any, body: bytes) -> None:
    refused(office.call("POST", "/join", body), 400, "bad-request")


def test_a_body_that_is_too_large_is_refused_before_it_is_read(office: Any) -> None:
    refused(office.call("POST", "/join", b"x" * (MAX_BODY_BYTES + 1)), 413, "too-large")
    refused(office.call("POST", "/join", b"x", {"content-length": "9" * 30}), 413, "too-large")
    refused(office.call("POST", "/join", b"x", {"content-length": "-1"}), 413, "too-large")


def test_an_unsigned_request_is_refused(ready: Any) -> None:
    message = refused(ready.call("GET", "/members"), 401, "unsigned")
    assert "paceline-signature" in message


def test_a_member_sees_the_signed_list(ready: Any) -> None:
    listed = ready.signed_call("coaches", "GET", "/members").json()
    assert [member["party"] for member in listed["membership"]["members"]] == [
        "algo-works",
        "city-runners",
        "coaches",
        "hill-runners",
    ]


def test_a_request_works_once(ready: Any) -> None:
    headers = ready.headers("coaches", "GET", "/members")
    assert ready.call("GET", "/members", headers=headers).status_code == 200
    refused(ready.call("GET", "/members", headers=headers), 401, "replayed")


@pytest.mark.parametrize("seconds", [-301, 301, -86_400, 86_400])
def test_a_clock_that_is_off_is_told(ready: Any, seconds: int) -> None:
    headers = ready.headers("coaches", "GET", "/members")
    ready.clock.forward(seconds=seconds)
    message = refused(ready.call("GET", "/members", headers=headers), 401, "clock")
    assert "Set the clock" in message


@pytest.mark.parametrize("time", ["yesterday", "2026-03-01T12:00:00", "0", "9" * 99])
def test_a_time_that_is_none_is_refused(ready: Any, time: str) -> None:
    refused(ready.signed_call("coaches", "GET", "/members", time=time), 401, "clock")


def test_a_time_with_another_offset_is_the_same_moment(ready: Any) -> None:
    assert ready.signed_call("coaches", "GET", "/members", time="2026-03-01T14:00:00+02:00").status_code == 200


def test_a_signature_holds_for_one_request_only(ready: Any) -> None:
    headers = ready.headers("coaches", "GET", "/members")
    refused(ready.call("GET", "/tasks", headers=headers), 401, "bad-signature")
    refused(ready.call("GET", "/members", b"more", headers), 401, "bad-signature")
    refused(ready.call("GET", "/members?x=1", headers=headers), 400, "bad-request")
    refused(ready.call("GET", "/members", headers=headers | {"Paceline-Nonce": "0" * 32}), 401, "bad-signature")
    refused(ready.call("GET", "/members", headers=headers | {"Paceline-Party": "city-runners"}), 401, "bad-signature")
    assert ready.call("GET", "/members", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"), [("Nonce", "x"), ("Nonce", "0" * 31), ("Signature", "zz"), ("Signature", "0" * 128)]
)
def test_headers_of_another_shape_are_refused(ready: Any, name: str, value: str) -> None:
    headers = ready.headers("coaches", "GET", "/members") | {f"Paceline-{name}": value}
    refused(ready.call("GET", "/members", headers=headers), 401, "bad-signature")


def test_a_stranger_is_not_a_member(ready: Any) -> None:
    ready.identities["stranger"] = Identity.create()
    refused(ready.signed_call("stranger", "GET", "/members"), 401, "not-a-member")


def test_a_revoked_party_is_out_with_its_next_message(ready: Any, task: Any) -> None:
    assert ready.signed_call("coaches", "GET", "/tasks").status_code == 200
    ready.store.revoke("coaches")
    for method, path in [("GET", "/tasks"), ("GET", "/members"), ("GET", f"/tasks/{task.name}"), ("POST", "/leave")]:
        message = refused(ready.signed_call("coaches", method, path), 403, "not-a-member")
        assert "was revoked by the coordinator" in message


def test_a_party_leaves_by_itself(ready: Any) -> None:
    assert ready.signed_call("coaches", "POST", "/leave").json() == {"left": "coaches"}
    assert "coaches" not in ready.store.active_party_keys()
    refused(ready.signed_call("coaches", "GET", "/members"), 403, "not-a-member")


def test_a_task_exists_for_its_cohort_only(ready: Any, task: Any) -> None:
    ready.join("Outsiders")
    assert [item["name"] for item in ready.signed_call("coaches", "GET", "/tasks").json()] == ["pace"]
    assert ready.signed_call("outsiders", "GET", "/tasks").json() == []
    for path in ("/tasks/pace", "/tasks/pace/release", f"/tasks/{'x' * 50}", "/tasks/%27%3B--"):
        headers_path = path.replace("%27%3B", "';")
        refused(ready.call("GET", path, headers=ready.headers("outsiders", "GET", headers_path)), 404, "unknown-task")


def test_the_algorithm_provider_signs_and_parties_accept(ready: Any, task: Any) -> None:
    from server import tasks

    coordinator = Identity.load(ready.folder.identity_key)
    tasks.sign(ready.store, coordinator, "pace")
    signature = sign_digest(
        ready.identities["algo-works"], task.digest, "algorithm-provider", "algo-works", ready.clock()
    )
    answer = ready.signed_call("algo-works", "POST", "/tasks/pace/signature", signature.model_dump_json().encode())
    assert answer.json() == {"state": "signed"}
    yes = accept(ready.identities["coaches"], PartyId("coaches"), task.digest, ready.clock())
    for _ in range(2):
        answer = ready.signed_call("coaches", "POST", "/tasks/pace/acceptance", yes.model_dump_json().encode())
        assert answer.json() == {"accepted": ["coaches"]}
    shown = ready.signed_call("coaches", "GET", "/tasks/pace").json()
    assert (shown["state"], shown["accepted"]) == ("signed", ["coaches"])
    signed = SignedManifest.model_validate_json(json.dumps(shown["signed"]))
    assert verify_manifest(signed, coordinator.fingerprint, ready.clock()).digest() == task.digest


def test_nobody_signs_or_accepts_in_another_name(ready: Any, task: Any) -> None:
    ready.sign(task)
    before = (ready.store.signed_manifest("pace"), ready.store.accepted(task.digest))
    coaches, algo = ready.identities["coaches"], ready.identities["algo-works"]
    yes = accept(ready.identities["city-runners"], PartyId("city-runners"), task.digest, ready.clock())
    path = "/tasks/pace/acceptance"
    refused(ready.signed_call("coaches", "POST", path, yes.model_dump_json().encode()), 403, "wrong-party")
    forged = accept(algo, PartyId("coaches"), task.digest, ready.clock())
    refused(ready.signed_call("coaches", "POST", path, forged.model_dump_json().encode()), 403, "bad-signature")
    other = accept(coaches, PartyId("coaches"), "0" * 64, ready.clock())
    refused(ready.signed_call("coaches", "POST", path, other.model_dump_json().encode()), 403, "bad-signature")
    path = "/tasks/pace/signature"
    for signer, party in [("algorithm-provider", "coaches"), ("coordinator", ""), ("algorithm-provider", "algo-works")]:
        signature = sign_digest(coaches, task.digest, signer, party, ready.clock())  # type: ignore[arg-type]
        response = ready.signed_call("coaches", "POST", path, signature.model_dump_json().encode())
        assert response.status_code == 403, response.text
    assert (ready.store.signed_manifest("pace"), ready.store.accepted(task.digest)) == before


@pytest.mark.parametrize("useless", ["00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f"])
def test_a_key_to_seal_to_that_hides_nothing_is_refused_at_the_door(ready: Any, task: Any, useless: str) -> None:
    """Nodes deal no shares at all where one acceptance names such a key: so one party could stop every secure round."""
    ready.sign(task)
    coaches = ready.identities["coaches"]
    yes = accept(coaches, PartyId("coaches"), task.digest, ready.clock()).model_copy(update={"seal_key": useless})
    words = canonical(yes.model_dump(mode="json", exclude={"signature"}))
    signed = yes.model_copy(update={"signature": coaches.sign(ACCEPTANCE, words).hex()}).model_dump_json().encode()
    said = refused(ready.signed_call("coaches", "POST", "/tasks/pace/acceptance", signed), 400, "refused")
    assert "small subgroup" in said
    assert ready.store.accepted(task.digest) == set()


def test_an_unsigned_or_expired_task_cannot_be_accepted(ready: Any, task: Any) -> None:
    yes = accept(ready.identities["coaches"], PartyId("coaches"), task.digest, ready.clock()).model_dump_json().encode()
    refused(ready.signed_call("coaches", "POST", "/tasks/pace/acceptance", yes), 409, "not-signed")
    ready.sign(task)
    ready.clock.forward(days=31)
    refused(ready.signed_call("coaches", "POST", "/tasks/pace/acceptance", yes), 409, "expired")
    assert ready.store.accepted(task.digest) == set()


def test_there_is_no_release_before_the_end(ready: Any, task: Any) -> None:
    message = refused(ready.signed_call("coaches", "GET", "/tasks/pace/release"), 404, "no-release")
    assert TaskState.DRAFT in message


def test_an_unforeseen_error_tells_nothing(office: Any, caplog: pytest.LogCaptureFixture) -> None:
    office.folder.ca_certificate.unlink()
    assert "secret" not in refused(office.call("GET", "/ca.pem"), 500, "internal")
    assert "FileNotFoundError" in caplog.text


def test_a_database_that_is_gone_fails_closed(ready: Any) -> None:
    headers = ready.headers("coaches", "GET", "/members")
    with ready.store.transaction() as session:
        session.connection().exec_driver_sql("DROP TABLE http_nonce")
    refused(ready.call("GET", "/members", headers=headers), 503, "store")
