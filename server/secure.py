"""The coordinator's part in secure rounds: it gathers keys, adds up what it cannot read, and asks to bare the sum.

Bonawitz et al. 2017, Fig. 4; docs/adr/0012-secure-rounds.md. Nothing in this process ever holds one party's update:
what comes is masked, and what the shares bare is the sum of all that came.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from federation import quorum, secure, wire
from federation.errors import LinkError, PacelineError, SecaggError, WireError
from federation.ids import PartyId
from federation.link import Link, Reply
from federation.manifest import Member
from federation.messages import (
    Advertisement,
    AgreedAnswer,
    AgreeRequest,
    PreparedAnswer,
    RefusalAnswer,
    TrainRequest,
    UnmaskedAnswer,
    UnmaskRequest,
)
from privacy.secagg.shamir import SHARE_BYTES
from server.aggregation import Declined
from server.coordinator import Coordinator, Run
from server.questions import KINDS, Posed, ask, count, pose
from server.shares import Shares
from server.store import PartyRound
from server.store.mask_keys import Prepared

Answer = PreparedAnswer | AgreedAnswer | UnmaskedAnswer
Use = Callable[[PartyId, Answer, memoryview], None]
"""What is done with an answer that holds, and its payload; raises an error of ours where it is no good after all."""


@dataclass(frozen=True)
class Desk:
    """Where a task's secure rounds are led from."""

    coordinator: Coordinator
    link: Link
    run: Run

    def roster(self, round_number: int, members: Collection[Member]) -> tuple[Advertisement, ...]:
        """The mask keys of those of `members` who have one for the next attempt; who lacks one is asked for it first,
        and so is who dealt shares before another party accepted. Without an answer its old shares are not used: too
        few could be opened, and it would be taken for one who deals wrong ones.

        An attempt that is open already has its roster in its question.
        """
        store, task = self.coordinator.store, self.run.digest
        open_attempt = store.open_attempt(task, "train")
        if open_attempt is not None:
            return TrainRequest.model_validate_json(open_attempt.request).roster or ()
        attempt, parties = store.next_attempt(task, "train"), sorted(member.party for member in members)
        ready, accepted = store.prepared(task, attempt), store.accepted(task)
        missing = [party for party in parties if party not in ready or not self._dealt_to(ready[party], accepted)]
        if missing:
            self._prepare(round_number, attempt, missing)
            ready = store.prepared(task, attempt)
        found = [
            ready[party].advertisement for party in parties if party in ready and self._dealt_to(ready[party], accepted)
        ]
        times = Counter(one.mask_key for one in found)
        return tuple(one for one in found if times[one.mask_key] == 1)  # nobody would take part beside two of one key

    def decided(self, question: TrainRequest) -> tuple[PartyId, ...] | None:
        """Who was said to be left when shares were asked for, before this process was started; None if none were.

        The nodes bear out no other list in this attempt: to ask for one could only open both kinds of share of a party.
        """
        for kind in ("agree", "unmask"):
            last = self.coordinator.store.last_attempt(self.run.digest, kind)
            asked = KINDS[kind].model_validate_json(last.request) if last else None
            if isinstance(asked, AgreeRequest | UnmaskRequest) and asked.of_attempt == question.attempt:
                return asked.survivors
        return None

    def shares(self, question: TrainRequest, came: Collection[PartyId]) -> Shares:
        """What the survivors open of a question's secrets; an error of ours where too few answer.

        Where somebody of the roster dropped out, the survivors sign who they are first.
        """
        survivors, roster = tuple(sorted(came)), question.roster or ()
        secure.require_enough(self.run.manifest, survivors)
        decided = self.decided(question)
        if decided is not None and decided != survivors:
            raise SecaggError(
                f"shares were asked for while {', '.join(decided)} were left, of whom {', '.join(survivors)} answered "
                "again after a restart; another sum of this attempt can never be bared."
            )
        agreed = self._agreed(question, survivors) if len(survivors) < len(roster) else {}
        also = {"of_attempt": question.attempt, "survivors": survivors, "agreed": agreed}
        posed = self._posed("unmask", question.round, also)
        opened: dict[PartyId, bytes] = {}
        size = SHARE_BYTES * len(roster)

        def use(party: PartyId, answer: Answer, payload: memoryview) -> None:
            if len(payload) < size:
                raise WireError(f"{len(payload)} bytes of shares; expected at least {size}.")
            opened[party] = bytes(payload[:size])
            if isinstance(answer, UnmaskedAnswer) and answer.advertisement is not None:
                self._keep(question.attempt + 1, party, Prepared(answer.advertisement, bytes(payload[size:])))

        self._ask(posed, self._sealed(posed, question, survivors), use)
        return Shares(self.run.manifest, question, survivors, opened)

    def _prepare(self, round_number: int, attempt: int, missing: Collection[PartyId]) -> None:
        """Ask `missing` for what an attempt needs of them, and keep it."""
        accepted = self.coordinator.store.acceptances(self.run.digest)
        also = {"of_attempt": attempt, "acceptances": tuple(sorted(accepted, key=lambda found: found.party))}
        posed = self._posed("prepare", round_number, also)

        def use(party: PartyId, answer: Answer, payload: memoryview) -> None:
            if isinstance(answer, PreparedAnswer):
                self._keep(attempt, party, Prepared(answer.advertisement, bytes(payload)))

        self._ask(posed, dict.fromkeys(missing, posed.blob), use)

    def _dealt_to(self, prepared: Prepared, accepted: Collection[PartyId]) -> bool:
        """Whether shares were dealt to all who accepted by now; there are zeros in the place of who had not."""
        size, own = secure.SEALED_BYTES, prepared.advertisement.party
        return all(
            any(prepared.sealed[(point - 1) * size : point * size])
            for party, point in secure.points(self.run.manifest).items()
            if party in accepted and party != own
        )

    def _agreed(self, question: TrainRequest, survivors: tuple[PartyId, ...]) -> dict[PartyId, str]:
        """The survivors' signatures under who they are: enough of them, or no share would be opened."""
        posed = self._posed("agree", question.round, {"of_attempt": question.attempt, "survivors": survivors})
        signed: dict[PartyId, str] = {}

        def use(party: PartyId, answer: Answer, _: memoryview) -> None:
            if isinstance(answer, AgreedAnswer):
                signed[party] = answer.agreement

        self._ask(posed, dict.fromkeys(survivors, posed.blob), use)
        keys = {found.party: found.public_key for found in question.roster or ()}
        good = secure.agreeing(secure.context(question), survivors, keys, signed)
        needed = quorum.threshold(len(self.run.manifest.contributors()))
        if len(good) < needed:
            raise SecaggError(f"{len(good)} parties signed who is left; shares are opened for no less than {needed}.")
        return {party: signed[party] for party in sorted(good)}

    def _sealed(self, posed: Posed, question: TrainRequest, survivors: Collection[PartyId]) -> dict[PartyId, bytes]:
        """The question to each survivor, with what everybody of the roster sealed for it."""
        dealt = self.coordinator.store.prepared(self.run.digest, question.attempt)
        points, size, requests = secure.points(self.run.manifest), secure.SEALED_BYTES, {}
        for party in survivors:
            start = (points[party] - 1) * size
            sealed = [dealt[found.party].sealed[start : start + size] for found in question.roster or ()]
            requests[party] = wire.pack(posed.question, b"".join(sealed), self.coordinator.identity)
        return requests

    def _posed(self, kind: str, round_number: int, also: Mapping[str, Any]) -> Posed:
        """The question, on disk before it is sent; one that a crash left open about something else is given up."""
        left = self.coordinator.store.open_attempt(self.run.digest, kind)
        if left is not None:
            asked = KINDS[kind].model_validate_json(left.request)
            if any(getattr(asked, name) != also[name] for name in ("of_attempt", "survivors") if name in also):
                self.coordinator.store.fail_attempt(self.run.digest, kind, left.number, {})
        return pose(self.coordinator, self.run, kind, None, round_number, also)

    def _ask(self, posed: Posed, requests: Mapping[PartyId, bytes], use: Use) -> None:
        """Use the answers that hold as they arrive; nothing that one party sends can stop the others.

        What each party did is on record at the end.
        """
        parties: dict[PartyId, PartyRound] = {}
        for reply in ask(self.coordinator, self.link, posed.question, requests, self.run.manifest.round_deadline_s):
            if reply.party in parties:
                count(self.coordinator, posed.question, reply)
                continue  # a second answer of one party changes nothing
            outcome, code, head = "answered", "", None
            try:
                answer, payload = self._read(posed, reply)
                head = answer.ledger_head
                use(reply.party, answer, payload)
            except Declined as error:
                outcome, code = "refused", str(error)
            except LinkError as error:
                outcome, code = "late", str(error)[:80]
            except PacelineError as error:
                outcome, code = "invalid", str(error)[:200]
            count(self.coordinator, posed.question, reply, head)
            parties[reply.party] = PartyRound(reply.party, outcome, code, at=self.coordinator.clock())
        question = posed.question
        self.coordinator.store.close_attempt(question.task, question.kind, question.attempt, tuple(parties.values()))

    def _read(self, posed: Posed, reply: Reply) -> tuple[Answer, memoryview]:
        """An answer to this question by this party, or an error of ours."""
        if reply.blob is None:
            raise LinkError(reply.failure)
        key = self.coordinator.store.active_party_keys().get(reply.party)
        if key is None:
            raise LinkError("revoked or gone since it was asked")
        longest = len(self.run.manifest.contributors()) * (secure.SEALED_BYTES + SHARE_BYTES)
        answer, payload = wire.read_answer(reply.blob, key, longest)
        if isinstance(answer, RefusalAnswer):
            raise Declined(answer.code, None)
        question = posed.question
        asked = (question.task, question.round, question.attempt, question.nonce, reply.party)
        if not isinstance(answer, Answer) or answer.kind != ANSWERS[question.kind]:
            raise WireError(f"an answer to {question.kind} was expected, but {answer.kind} came.")
        if (answer.task, answer.round, answer.attempt, answer.nonce, answer.party) != asked:
            raise WireError("the answer is to another question, or of another party.")
        return answer, payload

    def _keep(self, attempt: int, party: PartyId, prepared: Prepared) -> None:
        """Store what a party prepared, if it is what the others will take it for; else it is asked again."""
        expected = len(secure.points(self.run.manifest)) * secure.SEALED_BYTES
        if prepared.advertisement.party != party or len(prepared.sealed) != expected:
            raise WireError(f"{party} prepared {len(prepared.sealed)} bytes of shares; expected {expected} of its own.")
        secure.verify_advertisement(prepared.advertisement, self.run.manifest, (self.run.digest, attempt))
        self.coordinator.store.save_prepared(self.run.digest, attempt, prepared)


ANSWERS = {"prepare": "prepared", "agree": "agreed", "unmask": "unmasked"}
"""Which answer each question of a secure round has."""
