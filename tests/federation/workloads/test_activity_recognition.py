"""Five activities of daily life: the model of another workload with outputs of its own, people that are invented."""

import torch

from federation.workload import flatten
from federation.workloads import activity_recognition as activity
from federation.workloads import find


def test_weights_are_those_of_the_exercises_but_for_the_outputs():
    weights = activity.initial(3)
    sizes = {
        branch: sum(w.numel() for name, w in weights.items() if name.startswith(branch)) for branch in ("cnn.", "head.")
    }
    assert sizes == {"cnn.": 13_813, "head.": 80}
    assert not any(weights[f"{name}.weight"].any() for name in activity.OUTPUTS)


def test_invented_people_can_be_told_apart_by_what_they_do():
    rows, workload = activity.invent(1, 30, 10), find("activity_recognition")
    weights = {name: value.clone().requires_grad_() for name, value in workload.initial(1).items()}
    optimizer = torch.optim.SGD(weights.values(), lr=0.2)
    for step in range(60):
        optimizer.zero_grad()
        workload.phases[0].loss(weights, rows.fields, step).mean().backward()
        optimizer.step()
    learned = {name: value.detach() for name, value in weights.items()}
    others = activity.invent(2, 10, 10)
    assert workload.summary(workload.scores(learned, others))["accuracy"] > 0.8


def test_a_person_is_alike_in_all_rows_but_no_two_rows_are_equal():
    rows = activity.invent(5, 2, 10)
    assert len({flatten({"x": row}, ["x"]).tobytes() for row in rows.fields["x"]}) == 20
    assert torch.isfinite(rows.fields["x"]).all()
