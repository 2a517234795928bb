"""The comparison of simulators compares like with like: one person's update is the same in ours and in a peer's."""

import pytest
import torch

from clients.training import person_updates, person_updates_plain, picked
from federation.workload import flatten, trained_names
from simulations.benchmarks.simulation import models
from simulations.benchmarks.simulation.peers import work


@pytest.mark.parametrize("name", work.WORKS)
def test_a_persons_update_is_what_a_peer_computes(name):
    about, workload = work.WORKS[name], models.workload(name)
    rows, weights = workload.invent(1, 2, about.rows), workload.initial(0)
    names, phase = trained_names(weights, workload.phases[0]), workload.phases[0]
    fast, plain = (
        torch.cat([some for _, some in path(workload, phase, weights, names, rows, models.terms(about), about.rows, 3)])
        for path in (person_updates, person_updates_plain)
    )
    _, index, _ = picked(rows.person.numpy(), about.rows, 3)
    for person in range(2):
        torch.manual_seed(0)
        module = work.module(name)
        own = rows.take(torch.from_numpy(index[person]))
        work.train(module, about, own.fields["x"], own.fields["y"])
        theirs = torch.from_numpy(flatten(models.from_module(name, module), names) - flatten(weights, names))
        assert theirs.abs().max() > 1e-3
        for ours in (fast[person], plain[person]):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_the_convolutional_model_has_the_size_that_the_comparison_names():
    assert models.parameters("convolutional") == 19_718


def test_peers_read_the_rows_that_were_written(tmp_path):
    about = work.WORKS["trivial"]
    work.write(tmp_path, about, 5)
    x, y = work.read(tmp_path, about)
    assert x.shape == (5, 10, 4)
    assert y.shape == (5, 10)
    assert 0 <= int(y.min()) < int(y.max()) < about.classes
