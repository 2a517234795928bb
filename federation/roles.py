"""What each kind of organisation may do in a round: one table, checked on both sides."""

from enum import StrEnum

from federation.errors import Refusal, Refused


class Role(StrEnum):
    """The kind of organisation that a party is."""

    SERVICE_PROVIDER = "service-provider"
    TRAINER = "trainer"
    DATA_PROVIDER = "data-provider"
    ALGORITHM_PROVIDER = "algorithm-provider"


class Step(StrEnum):
    """Something that a party may be asked to do, or may do on its own."""

    SIGN_WORKLOAD = "sign-workload"
    INITIALISE = "initialise"
    TRAIN_ON_PEOPLE = "train-on-people"
    TRAIN_ON_PUBLIC = "train-on-public"
    EVALUATE_PEOPLE = "evaluate-people"
    EVALUATE_PUBLIC = "evaluate-public"
    KEEP_CONSENT = "keep-consent"
    SERVE_RELEASE = "serve-release"


PERMISSIONS: dict[Role, frozenset[Step]] = {
    Role.SERVICE_PROVIDER: frozenset(
        {Step.TRAIN_ON_PEOPLE, Step.EVALUATE_PEOPLE, Step.KEEP_CONSENT, Step.SERVE_RELEASE}
    ),
    Role.TRAINER: frozenset({Step.TRAIN_ON_PEOPLE, Step.EVALUATE_PEOPLE, Step.KEEP_CONSENT}),
    Role.DATA_PROVIDER: frozenset({Step.TRAIN_ON_PEOPLE, Step.KEEP_CONSENT}),
    Role.ALGORITHM_PROVIDER: frozenset(
        {Step.SIGN_WORKLOAD, Step.INITIALISE, Step.TRAIN_ON_PUBLIC, Step.EVALUATE_PUBLIC}
    ),
}


def may(role: Role, step: Step) -> bool:
    """Whether `role` may take `step`; what the table does not name is refused."""
    return step in PERMISSIONS[role]


def require(role: Role, step: Step) -> None:
    """Raise `Refused` (code ``wrong-role``) unless `role` may take `step`."""
    if not may(role, step):
        able = ", ".join(sorted(r for r, steps in PERMISSIONS.items() if step in steps))
        raise Refused(Refusal.WRONG_ROLE, f"a {role} may not take the step {step}; these roles may: {able}.")


def training_step(role: Role) -> Step:
    """The kind of training that `role` may do: on people, or on public and synthetic rows."""
    return Step.TRAIN_ON_PUBLIC if role is Role.ALGORITHM_PROVIDER else Step.TRAIN_ON_PEOPLE
