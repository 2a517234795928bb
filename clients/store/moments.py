"""How moments are stored: whole microseconds since 1970, UTC."""

from datetime import UTC, datetime, timedelta

from federation.errors import StoreError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER = 2**53 - 1
"""Later than every moment (the year 2255); the largest whole number that canonical JSON holds exactly."""


def now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 of a moment that knows its time zone."""
    if moment.tzinfo is None:
        raise StoreError(f"found the moment {moment} without a time zone; expected one, such as {moment}+00:00.")
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The moment, in UTC."""
    return EPOCH + timedelta(microseconds=micros)
