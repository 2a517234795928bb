"""Windows are read off what is not protected, and not off what is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from federation.errors import UsageError
from federation.schema import Rows
from simulations.attacks import imprint, inversion
from simulations.attacks.training import answer
from simulations.seeded import SeededSource


@pytest.fixture(scope="module")
def whole(small):
    """Training of the whole model; seven windows, one of each class, and windows of other people."""
    training = small(people=7, trains=())
    rows = training.parties[0]
    targets = rows.take(torch.arange(7) * 7 + torch.arange(7))
    others = training.workload.invent(9, 10, 7)
    return training, targets, others


@pytest.fixture(scope="module")
def readings(whole):
    training, targets, others = whole
    return {
        name: inversion.read(one, targets, others, SeededSource(2), lambda _: None).figures()
        for name, one in (("open", training.unprotected()), ("private", training))
    }


def test_windows_are_read_off_unprotected_updates(whole, readings):
    blind = inversion.without_reading(*whole[1:])
    assert readings["open"]["window correlation"].value > 0.85 > blind["window correlation"]
    assert readings["open"]["window error"].value < 0.4
    assert readings["open"]["class read"].value == 1
    assert readings["open"]["posture correlation"].value > 0.9


def test_windows_are_not_read_off_protected_updates(whole, readings):
    blind = inversion.without_reading(*whole[1:])
    assert readings["private"]["window correlation"].high < 0.2 < blind["window correlation"]
    assert readings["private"]["posture correlation"].value < 0.5
    assert readings["private"]["class read"].low < blind["class read"] + 0.2
    assert readings["private"]["window named"].value < 0.5


def test_every_piece_that_is_read_without_noise_is_exact(whole):
    training, targets, _ = whole
    sent = imprint.weights(1)
    alone = replace(training.unprotected(), local=training.local.model_copy(update={"local_epochs": 1}))
    update = answer(alone, sent, targets.take(torch.tensor([2])), SeededSource(1))
    first, last, *middle = imprint._pieces(update, sent, alone.names(sent))
    assert (np.abs(first[: imprint.OVERLAP]).max(), np.abs(last[-2 * imprint.STEP :]).max()) == (0, 0), "padding"
    pieces = imprint._unlike(middle, [first, last])
    assert len(pieces) + 2 <= imprint.PLACES
    chains = imprint._chains([first, *pieces, last])
    assert sum(map(len, chains)) == len(pieces) + 2


def test_pieces_are_laid_out_where_they_belong():
    samples = np.arange(imprint.PLACES * imprint.STRIDE + imprint.PIECE, dtype=float)
    signal = np.stack([np.sin(samples / (5 + axis)) for axis in range(imprint.AXES)], axis=1)
    starts = range(0, imprint.PLACES * imprint.STRIDE, imprint.STRIDE)
    pieces = [signal[start : start + imprint.PIECE] for start in starts]
    first, *rest = pieces
    missing = [piece for place, piece in enumerate(rest, start=1) if place != 5]
    order = np.random.default_rng(0).permutation(len(missing) - 1)
    chains = imprint._chains([first, *(missing[place] for place in order), missing[-1]])
    laid = imprint._laid_out(imprint._in_order(chains, first, missing[-1]))
    truth = signal[imprint.OVERLAP : imprint.OVERLAP + 200].T
    gap = slice(5 * imprint.STRIDE, 5 * imprint.STRIDE + imprint.STEP)
    wrong = np.abs(laid - truth)
    assert np.delete(wrong, np.r_[gap], axis=1).max() == 0
    assert wrong.max() < 0.2, "the gap is filled in a straight line"


def test_likeness_and_misfit_of_a_window_with_itself():
    window = np.random.default_rng(0).normal(size=(6, 200))
    assert inversion.likeness(window, window) == pytest.approx(1)
    assert inversion.misfit(window, window) == 0
    assert inversion.misfit(window, window.mean(axis=1, keepdims=True) + 0 * window) == pytest.approx(1)


def test_a_model_that_it_cannot_read_is_refused(small):
    training = small(people=2)
    with pytest.raises(UsageError, match="inversion reads windows"):
        inversion.read(training, training.parties[0], training.held_out, SeededSource(1), lambda _: None)


def test_candidates_are_the_target_and_others(whole):
    training, targets, others = whole
    few = Rows({name: tensor[:3] for name, tensor in targets.fields.items()}, targets.person[:3])
    found = inversion.read(training.unprotected(), few, others, SeededSource(1), lambda _: None)
    assert sum(one.named for one in found.targets) >= 1
