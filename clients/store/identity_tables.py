"""The tables of identities.sqlite: who the numbers are; deleting a row here erases the person."""

from typing import TYPE_CHECKING, ClassVar

from sqlalchemy import Table
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

VERSION = 1
APPLICATION_ID = 0x50434C49  # "PCLI"


class IdentityTable(SQLModel, registry=registry()):
    """A table of identities.sqlite."""

    if TYPE_CHECKING:
        __table__: ClassVar[Table]


class IdentityRow(IdentityTable, table=True):
    """A person's external identifier; `pseudonym` is its HMAC under this node's key."""

    __tablename__ = "identity"
    number: int = Field(primary_key=True)
    pseudonym: str = Field(unique=True)
    external_id: str
    born: str | None = None


class EvidenceRow(IdentityTable, table=True):
    """What proves a statement of consent; the log holds only `commitment`, which without `salt` says nothing."""

    __tablename__ = "evidence"
    commitment: str = Field(primary_key=True)
    number: int = Field(index=True)
    salt: str
    text: str


class RememberedRow(IdentityTable, table=True):
    """What an erased person has spent, under an HMAC with the budget key: no number, no moment, nothing else.

    A text key and no row number: the order in which people were erased is not kept either.
    """

    __tablename__ = "remembered"
    __table_args__ = {"sqlite_with_rowid": False}
    tag: str = Field(primary_key=True)
    curve: str


class IdentitySecretRow(IdentityTable, table=True):
    """A key of this database, hexadecimal; made once."""

    __tablename__ = "secret"
    name: str = Field(primary_key=True)
    key: str
