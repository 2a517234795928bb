"""The vocabulary of consent that all parties share: purposes, states, scopes."""

from enum import StrEnum


class Purpose(StrEnum):
    """Why data of a person may be used (comment: the nearest term of DPV 2 / DUO).

    A task names exactly one training purpose; scores of a held-out person are published only under `PUBLISH_SCORES`.
    """

    TRAIN_MOTION_MODELS = "train-motion-models"  # dpv:TrainAIModel, sector sports
    IMPROVE_OWN_SERVICE = "improve-own-service"  # dpv:ServiceOptimisation
    INJURY_RESEARCH = "injury-research"  # dpv:ResearchAndDevelopment, DUO:0000007
    PUBLISH_SCORES = "publish-scores"  # dpv:ProvideResearch: un-noised scores of this person's rows may leave the node


class ConsentState(StrEnum):
    """DPV consent states. Only `GIVEN` and `RENEWED` permit use."""

    REQUESTED = "requested"
    GIVEN = "given"
    RENEWED = "renewed"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"


PERMITTING = frozenset({ConsentState.GIVEN, ConsentState.RENEWED})


class Actor(StrEnum):
    """Who made a statement: the person, or a guardian for a minor."""

    PERSON = "person"
    GUARDIAN = "guardian"


AGE_OF_CONSENT_YEARS = 16
"""GDPR article 8 without a lower national age; a node's policy may only raise it."""
