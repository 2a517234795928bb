"""A scenario: everything that decides what a simulation does, frozen and checked before anything runs."""

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import rfc8785
from pydantic import Field, ValidationError, field_validator, model_validator

from federation.drafts import listed, privacy_problems
from federation.errors import UsageError
from federation.misfits import alike, misfits
from federation.roles import Role, Step, may
from federation.terms import PRINTABLE, SLUG, Part, TrainingTerms, Ways

FORMAT = "paceline-scenario-1"
NOT_SWEPT = frozenset({"format", "name", "title", "seeds", "sweep"})
"""Keys that change no run, or that every point has all values of already."""

Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Source = Literal["invented", "files", "watch", "walkers", "runners", "lifters", "ratings"]
ByzantineKind = Literal["sign-flip", "scale", "noise"]


class Data(Part):
    """Who there is, and what of them judges.

    `source`: ``invented`` people of the workload, a data set by name (`simulations.sources`), or ``files``.
    What follows `rows_per_person` is for invented people: `label_skew` is the α of a Dirichlet distribution over each
    person's classes, `quantity_skew` the σ of a log-normal one over rows per person; every person wears the device
    turned about a random axis by up to `rotation_deg`, with a gain per sensor of log-σ `gain`; with `drift` both grow
    by that share until the last round. `held_out`: the share of people (or, by group, the groups named in
    `held_out_groups`) who train nothing and only judge.
    """

    source: Source = "invented"
    files: tuple[Path, ...] = ()
    mapping: Path | None = None
    people: Annotated[int, Field(ge=1, le=10_000_000)] = 100
    rows_per_person: Annotated[int, Field(ge=1, le=100_000)] = 20
    label_skew: Annotated[float, Field(gt=0, le=1e6)] | None = None
    quantity_skew: Annotated[float, Field(ge=0, le=3)] = 0.0
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    gain: Annotated[float, Field(ge=0, le=2)] = 0.0
    drift: Annotated[float, Field(ge=0, le=10)] = 0.0
    held_out: Share = 0.2
    held_out_groups: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _skews_belong_to_the_source(self) -> Self:
        skews = {"label_skew", "quantity_skew", "rotation_deg", "gain", "drift", "people", "rows_per_person"}
        given = sorted(skews & self.model_fields_set)
        if self.source != "invented" and given:
            raise ValueError(
                f'{", ".join(given)} are for source = "invented"; source = "{self.source}" brings people of its own. '
                "Remove these keys"
            )
        if (self.source == "files") != bool(self.files):
            raise ValueError('source = "files" and files = [...] go together')
        if self.held_out_groups and self.source == "invented":
            raise ValueError("held_out_groups is for data with groups; invented people have none")
        return self


class PartyTerms(Part):
    """How people are dealt: `count` parties that take the `roles` in turn; an algorithm provider stands beside them.

    `deal`: ``even`` (as many each), ``quantity`` (sizes from a Dirichlet distribution with `quantity_alpha`),
    ``by-label`` (people of like classes together), ``by-group`` (the data's own groups: states, federations).
    """

    count: Annotated[int, Field(ge=1, le=1000)] = 4
    deal: Literal["even", "quantity", "by-label", "by-group"] = "even"
    quantity_alpha: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    roles: tuple[Role, ...] = (Role.DATA_PROVIDER, Role.SERVICE_PROVIDER, Role.TRAINER)

    @field_validator("roles")
    @classmethod
    def _roles_with_people(cls, roles: tuple[Role, ...]) -> tuple[Role, ...]:
        wrong = [role for role in roles if not may(role, Step.TRAIN_ON_PEOPLE)]
        if wrong or not roles:
            raise ValueError(
                f"parties need roles that train on people; {', '.join(wrong) or 'none'} cannot be dealt any"
            )
        return roles


class Exchange(Ways):
    """How models and updates travel, as in a task."""

    min_parties: Annotated[int, Field(ge=1, le=1000)] = 1


class Faults(Part):
    """What goes wrong, each as the probability per party and round: the answer is lost (`drop`), comes after the
    deadline (`delay`), the node dies before it answers (`crash`), a bit of the answer flips (`corrupt`).
    `byzantine`: the share of parties that lie in every round, as `byzantine_kind` says.
    """

    drop: Share = 0.0
    delay: Share = 0.0
    crash: Share = 0.0
    corrupt: Share = 0.0
    byzantine: Share = 0.0
    byzantine_kind: ByzantineKind = "sign-flip"
    byzantine_scale: Annotated[float, Field(gt=0, le=1e6)] = 10.0

    @model_validator(mode="after")
    def _at_most_certain(self) -> Self:
        if self.drop + self.delay + self.crash + self.corrupt > 1:
            raise ValueError("drop, delay, crash and corrupt add up to more than 1")
        return self


class RayTerms(Part):
    """For engine = "ray": what each party may take of the machines, and which cluster runs them.

    `address`: of a Ray cluster that runs already (``auto``: as $RAY_ADDRESS says); without it one is started on this
    machine with `cpus` processors (0: all of them) and ended with the run. `folder`: one that all machines of the
    cluster see under the same path; without it, a temporary one of this machine.
    """

    address: Annotated[str, Field(pattern=r"^(|auto|[\w.:\[\]-]+:[0-9]{1,5})$")] = ""
    folder: Path | None = None
    cpus: Annotated[int, Field(ge=0, le=4096)] = 0
    num_cpus_per_party: Annotated[float, Field(gt=0, le=1024)] = 1.0
    num_gpus_per_party: Annotated[float, Field(ge=0, le=64)] = 0.0
    object_store_mb: Annotated[int, Field(ge=128, le=1_000_000)] = 512


class Scenario(Part):
    """One scenario. `privacy` is the ``[privacy]`` table of a task file; its numbers are completed at the start."""

    format: Literal["paceline-scenario-1"] = "paceline-scenario-1"
    name: Annotated[str, Field(pattern=SLUG)]
    title: Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE)]
    workload: str
    rounds: Annotated[int, Field(ge=1, le=100_000)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=1000)] = (1,)
    engine: Literal["inline", "ray"] = "inline"
    evaluate_every: Annotated[int, Field(ge=1)] = 1
    data: Data = Data()
    parties: PartyTerms = PartyTerms()
    privacy: dict[str, Any] = Field(default_factory=lambda: {"unit": "none"})
    training: TrainingTerms
    exchange: Exchange = Exchange()
    participation: Annotated[float, Field(gt=0, le=1)] = 1.0
    faults: Faults = Faults()
    ray: RayTerms = RayTerms()
    sweep: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(default_factory=dict)

    @field_validator("privacy")
    @classmethod
    def _terms_that_there_are(cls, words: dict[str, Any]) -> dict[str, Any]:
        if found := privacy_problems(words):
            raise ValueError("\n  ".join(found))
        return words

    @field_validator("sweep", mode="before")
    @classmethod
    def _keys_that_decide_something(cls, axes: object) -> object:
        for key, values in axes.items() if isinstance(axes, dict) else ():
            if isinstance(values, dict) and values:
                inner = next(iter(values))
                raise ValueError(f'a key with a dot stands in quotes; write "{key}.{inner}" = [...]')
            if not isinstance(values, list | tuple):
                raise ValueError(f'"{key}" = {values!r} is one value; write a list, such as "{key}" = [{values!r}, …]')
            if not values:
                raise ValueError(f'"{key}" = [] sweeps over nothing; write the values to try, or leave the key out')
            if key in NOT_SWEPT:
                raise ValueError(
                    f"{key} cannot be swept over; seeds = [...] stands above the tables, all else decides nothing"
                )
        return axes

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            twice = sorted({seed for seed in self.seeds if self.seeds.count(seed) > 1})
            raise ValueError(f"seeds: {', '.join(map(str, twice))} stands twice; each seed is one run")
        if self.exchange.min_parties > self.parties.count:
            raise ValueError(
                f"exchange.min_parties = {self.exchange.min_parties}, but parties.count = {self.parties.count}: "
                "no round could ever count. Lower the one or raise the other"
            )
        if self.exchange.secure and self.faults.byzantine:
            raise ValueError(
                "byzantine parties lie in their answers, which secure aggregation masks. Write secure = false, or see "
                "what a liar can do under masks with: paceline attack poisoning"
            )
        if self.data.source == "invented" and self.parties.count > self.data.people:
            raise ValueError(
                f"parties.count = {self.parties.count}, but data.people = {self.data.people}: parties without people. "
                "Lower the one or raise the other"
            )
        return self

    def point(self, values: dict[str, Any]) -> "Scenario":
        """This scenario with the values of one point of its sweep, such as {"privacy.epsilon": 4}, and no sweep."""
        words = self.model_dump(mode="json", exclude={"sweep"}, exclude_unset=True)
        for key, value in values.items():
            _put(words, key, value)
        return read_words(words)

    def digest(self) -> str:
        """SHA-256 of the canonical form: names a point of a sweep."""
        return hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).hexdigest()


def read(path: Path) -> Scenario:
    """The scenario in a TOML file; `UsageError` with every problem. Paths in it are relative to the file."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; expected a scenario, which is a file{_inside(path)}.")
    try:
        words = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        others = [found.name for found in path.parent.glob("*.toml")]
        meant = alike(path.name, others) or f". Write one with: paceline simulate --new {path}"
        raise UsageError(f"there is no file {path}{meant}") from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"{path} cannot be read: {why}. Write one with: paceline simulate --new FILE") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is no TOML: {error}. See docs/simulate.md for an example.") from error
    try:
        scenario = read_words(words)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    near = path.resolve().parent
    data = scenario.data
    if not data.files:
        return scenario
    mapping = None if data.mapping is None else near / data.mapping
    placed = {"files": tuple(near / file for file in data.files), "mapping": mapping}
    return scenario.model_copy(update={"data": data.model_copy(update=placed)})


def _inside(folder: Path) -> str:
    """The scenario that lies in a folder of results."""
    found = folder / "scenario.toml"
    return f". In it lies one: {found}; missing runs are made with --out {folder} --resume" if found.is_file() else ""


def read_words(words: dict[str, Any]) -> Scenario:
    """The scenario that a parsed file describes, or `UsageError` with every problem."""
    found = words.get("format", FORMAT)
    if found != FORMAT:
        raise UsageError(
            f"format = {found!r}; this Paceline reads {FORMAT!r}. An older file needs the version that wrote it; "
            "compare it with the output of: paceline simulate --new FILE"
        )
    try:
        return Scenario.model_validate(words)
    except ValidationError as error:
        raise UsageError(listed(misfits(error, Scenario), "scenario")) from error


def _put(words: dict[str, Any], key: str, value: Any) -> None:
    """Set ``a.b.c`` in nested tables; that the key exists is for the validation to say."""
    *tables, last = key.split(".")
    for table in tables:
        words = words.setdefault(table, {})
        if not isinstance(words, dict):
            raise UsageError(f"the sweep names {key}, but {table} is no table.")
    words[last] = value
