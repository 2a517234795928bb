"""Rounds on an MLflow tracking server."""

import sys

import pytest

from federation.errors import LinkError, UsageError
from simulations.sweep import jobs
from simulations.tracking import mlflow


@pytest.mark.filterwarnings("ignore")  # MLflow's own, about what it uses of SQLAlchemy
def test_runs_carry_their_parameters_and_figures(tmp_path, scenario, outcome):
    tracking = pytest.importorskip("mlflow.tracking", reason="pip install 'paceline[mlflow]'")
    first, second = jobs(scenario(seeds=[1, 2]))
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with mlflow.TrackedRuns(uri) as tracker:
        tracker.begin([first, second], [])
        for done in outcome().rounds:
            tracker.round(first, done)
        tracker.end(first, "")
        tracker.end(second, "died")
    client = tracking.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("tiny")
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.info.status for name, run in found.items()} == {"seed 1": "FINISHED", "seed 2": "FAILED"}
    assert found["seed 1"].data.params["data.people"] == "8"
    assert found["seed 1"].data.metrics["score/accuracy"] == pytest.approx(0.9)
    assert [m.step for m in client.get_metric_history(found["seed 1"].info.run_id, "bytes/up")] == [1, 2, 3]
    assert found["seed 2"].data.tags["problem"] == "died"


def test_server_that_is_not_there_is_named(scenario):
    pytest.importorskip("mlflow.tracking", reason="pip install 'paceline[mlflow]'")
    with pytest.raises(LinkError, match="no MLflow tracking server can be used at nonsense://"):
        mlflow.TrackedRuns("nonsense://").begin(jobs(scenario()), [])


def test_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(UsageError, match=r"pip install 'paceline\[mlflow\]'"):
        mlflow.TrackedRuns("http://127.0.0.1:5000")
