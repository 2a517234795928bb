"""Invitations, parties, membership and the last ledger heads, as the store keeps them."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, insert, update
from sqlmodel import col, delete, select

from federation.errors import EnrolmentError
from federation.ids import Fingerprint, LedgerHead, PartyId
from federation.roles import Role
from server.store.audit import AuditLog
from server.store.database import Transaction
from server.store.records import Invited, Party
from server.store.tables import CounterTable, HttpNonceTable, InvitationTable, LedgerHeadTable, PartyTable

_IN = (col(PartyTable.revoked_at).is_(None), col(PartyTable.left_at).is_(None))
ACTIVE = select(PartyTable.id, PartyTable.public_key).where(*_IN).order_by(col(PartyTable.id))
HEADS = select(LedgerHeadTable.party, LedgerHeadTable.head)
HEAD_MOVED = update(LedgerHeadTable).where(col(LedgerHeadTable.party) == bindparam("of_party"))
FIRST_HEAD = insert(LedgerHeadTable)


class InvitationRefused(EnrolmentError):
    """A join token that cannot be used; `code` tells a machine why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Parties(AuditLog):
    """Who is invited, who joined, who is still in."""

    def invite(self, invited: Invited) -> None:
        """Record an invitation; an unused one for the same party is void from now on."""
        with self.transaction() as session:
            if session.get(PartyTable, invited.party) is not None:
                raise EnrolmentError(
                    f"a party called {invited.party} joined before; a new member needs another id: --party NEW-ID"
                )
            unused = col(InvitationTable.used_at).is_(None)
            session.exec(delete(InvitationTable).where(col(InvitationTable.party) == invited.party, unused))
            session.add(InvitationTable(**vars(invited)))
            words = {"party": invited.party, "role": invited.role, "expires_at": invited.expires_at.isoformat()}
            self.append(session, "invited", words)

    def invitation(self, secret_hash: str) -> Invited:
        """The invitation with this secret, if it can be used now; `EnrolmentError` says why not."""
        with self.reading() as session:
            return self._usable(session, secret_hash)

    def invitations(self) -> list[Invited]:
        """Invitations that nobody has used yet, expired ones too."""
        query = select(InvitationTable).where(col(InvitationTable.used_at).is_(None))
        with self.reading() as session:
            return [_invited(row) for row in session.exec(query.order_by(col(InvitationTable.created_at)))]

    def require_new_keys(self, public_key: str, supernode_key: str) -> None:
        """Raise `EnrolmentError` if a party with one of these keys joined before."""
        with self.reading() as session:
            self._require_new(session, public_key, supernode_key)

    def join(self, secret_hash: str, public_key: str, supernode_key: str, node_id: int) -> Party:
        """Use an invitation: one transaction makes it used and the party a member."""
        with self.transaction() as session:
            invited = self._usable(session, secret_hash)
            self._require_new(session, public_key, supernode_key)
            row = session.get_one(InvitationTable, secret_hash)
            row.used_at = self.clock()
            party = Party(
                id=invited.party,
                name=invited.name,
                role=invited.role,
                public_key=public_key,
                fingerprint=Fingerprint(hashlib.sha256(bytes.fromhex(public_key)).hexdigest()),
                supernode_key=supernode_key,
                node_id=node_id,
                joined_at=row.used_at,
            )
            session.add(PartyTable(**vars(replace(party)) | {"node_id": str(node_id)}))
            self._membership_changed(session, "joined", party.id, {"fingerprint": party.fingerprint})
            return party

    def parties(self) -> list[Party]:
        """Everyone who ever joined, by id."""
        with self.reading() as session:
            return [_party(row) for row in session.exec(select(PartyTable).order_by(col(PartyTable.id)))]

    def party(self, party: str) -> Party:
        """One party, or `EnrolmentError`."""
        with self.reading() as session:
            return _party(_row(session, party))

    def active_party_keys(self) -> dict[PartyId, bytes]:
        """Identity keys of the parties that may take part now (neither revoked nor left)."""
        with self.reading() as session:
            return {PartyId(party): bytes.fromhex(key) for party, key in session.core.execute(ACTIVE)}

    def revoke(self, party: str) -> None:
        """Shut a party out, from its next message on."""
        self._end(party, "revoked")

    def leave(self, party: str) -> None:
        """The party takes itself out."""
        self._end(party, "left")

    def membership_version(self) -> int:
        """Grows by one with every joining, leaving and revocation; 1 at first."""
        with self.reading() as session:
            return session.get_one(CounterTable, "membership").value

    def save_heads(self, session: Transaction, heads: Mapping[PartyId, LedgerHead]) -> None:
        """Remember the last heads that parties showed, within a transaction."""
        for party, head in heads.items():
            if not session.core.execute(HEAD_MOVED, {"of_party": party, "head": head}).rowcount:
                session.core.execute(FIRST_HEAD, {"party": party, "head": head})

    def heads(self) -> dict[PartyId, LedgerHead]:
        """The last head of each party's ledger that was seen."""
        with self.reading() as session:
            return {PartyId(party): LedgerHead(head) for party, head in session.core.execute(HEADS)}

    def spend_nonce(self, nonce: str, valid: timedelta) -> bool:
        """Whether `nonce` is new; it is kept until `valid` has passed, older ones are dropped."""
        at: datetime = self.clock()
        with self.transaction() as session:
            session.exec(delete(HttpNonceTable).where(col(HttpNonceTable.expires_at) < at))
            if session.get(HttpNonceTable, nonce) is not None:
                return False
            session.add(HttpNonceTable(nonce=nonce, expires_at=at + valid))
            return True

    def _usable(self, session: Transaction, secret_hash: str) -> Invited:
        row = session.get(InvitationTable, secret_hash, with_for_update=True)
        if row is None:
            raise InvitationRefused(
                "token-unknown",
                "this join token is not known here; perhaps a newer one replaced it. Ask the coordinator for one.",
            )
        if row.used_at is not None:
            raise InvitationRefused(
                "token-used",
                f"this join token was used on {row.used_at:%Y-%m-%d %H:%M} UTC; each token works once. "
                "If that was not you, tell the coordinator to revoke the party.",
            )
        if row.expires_at <= self.clock():
            raise InvitationRefused(
                "token-expired",
                f"this join token expired on {row.expires_at:%Y-%m-%d %H:%M} UTC. Ask the coordinator for a new one.",
            )
        return _invited(row)

    def _require_new(self, session: Transaction, public_key: str, supernode_key: str) -> None:
        same = (col(PartyTable.public_key) == public_key) | (col(PartyTable.supernode_key) == supernode_key)
        if session.exec(select(PartyTable).where(same)).first() is not None:
            raise EnrolmentError("a party with this key joined before; make new keys in an empty folder.")

    def _end(self, party: str, word: str) -> None:
        with self.transaction() as session:
            row = _row(session, party)
            if row.revoked_at or row.left_at:
                raise EnrolmentError(f"{party} {'was revoked' if row.revoked_at else 'left'} already; nothing changed.")
            setattr(row, f"{word}_at", self.clock())
            self._membership_changed(session, word, row.id, {})

    def _membership_changed(self, session: Transaction, word: str, party: str, more: Mapping[str, Any]) -> None:
        self.take_number(session, "membership")
        self.append(session, word, {"party": party, **more})


def _row(session: Transaction, party: str) -> PartyTable:
    row = session.get(PartyTable, party)
    if row is None:
        raise EnrolmentError(f"no party called {party!r} has joined; list them with: paceline server parties")
    return row


def _party(row: PartyTable) -> Party:
    words = row.model_dump()
    return Party(**words | {"role": Role(row.role), "node_id": int(row.node_id)})


def _invited(row: InvitationTable) -> Invited:
    return Invited(**row.model_dump() | {"role": Role(row.role)})
