"""How many parties a secure round needs: to open a share, to tell a sum, to be safe from a lying coordinator.

Shares open with more than two thirds of n parties. For two lists of survivors to be borne out by so many each, a third
of all would have to say yes to both; so with fewer than that on the coordinator's side there is one list, one sum.
"""

FEWEST, MOST = 3, 100
"""Parties of a secure round: a sum of two bares each to the other, and every two share a mask."""


def threshold(parties: int) -> int:
    """How many of `parties` open a share: more than two thirds.

    >>> [threshold(n) for n in (3, 6, 10, 50)]
    [3, 5, 7, 34]
    """
    return 2 * parties // 3 + 1


def smallest_sum(parties: int, min_parties: int) -> int:
    """The fewest of `parties` whose updates are ever told as a sum."""
    return max(threshold(parties), min_parties)


def most_colluding(parties: int) -> int:
    """How many of `parties` may side with the coordinator before it could have two lists of survivors borne out.

    >>> [most_colluding(n) for n in (3, 6, 10, 50)]
    [2, 3, 3, 17]
    """
    return 2 * threshold(parties) - parties - 1
