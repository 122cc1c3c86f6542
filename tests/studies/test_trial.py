"""One cell is what the plain verbs give, and a network is made once for all its cells."""

import pytest

from lowrank_kit.measurement.measure import measure
from lowrank_kit.methods.planning import plan
from lowrank_kit.models.surgery import compress
from lowrank_kit.studies import trial as module
from lowrank_kit.studies.grid import Cell
from lowrank_kit.studies.networks import open_network
from lowrank_kit.studies.trial import baseline, forget, identity, subject, trial


@pytest.fixture(autouse=True)
def nothing_kept():
    forget()
    yield
    forget()


@pytest.mark.parametrize("cost", ["params", "macs"])
@pytest.mark.parametrize("method", ["svd", "spatial", "aware"])
def test_a_cell_is_what_the_plain_verbs_give(method, cost):
    found = trial(Cell("tiny_networks:cnn", 1, method, "uniform", 0.6, cost), "run")
    model, data = open_network("tiny_networks:cnn", 1)
    chosen = plan(model, rule="uniform", budget=0.6, cost=cost, method=method, data=data)
    expected = measure(compress(model, chosen, data=data), data, latency_budget_s=0)
    assert found.reason == ""
    assert found.measurement.plan == chosen
    assert found.measurement.predictions.tolist() == expected.predictions.tolist()
    for part in ("n_params", "size_bytes", "macs", "accuracy"):
        assert getattr(found.measurement, part) == getattr(expected, part)
    assert found.layers == {"compressed": len(chosen.layers), "dense": 3 - len(chosen.layers), "refused": 0}


def test_validation_and_test_examples_are_told_apart():
    dense = baseline("tiny_networks:mlp", 0, "run")
    _, data = open_network("tiny_networks:mlp", 0)
    assert dense.measurement.labels.tolist() == data.test.y.tolist()
    assert dense.validation_accuracy * len(data.validation) == pytest.approx(round(dense.validation_accuracy * 40))
    assert dense.validation_accuracy != dense.measurement.accuracy


def test_a_cell_that_cannot_be_done_says_why():
    found = trial(Cell("tiny_networks:mlp", 0, "svd", "energy", 0.01, "params"), "run")
    assert found.measurement is None
    assert found.reason.startswith("`budget` must be at least 0.")
    assert found.identity == identity("tiny_networks:mlp", 0, "run")


def test_a_network_that_does_not_run_when_compressed_says_so():
    found = trial(Cell("tiny_networks:particular", 0, "svd", "energy", 0.7, "params"), "run")
    assert found.measurement is None
    said = "tiny_networks:particular must run when it is compressed; it raised AttributeError: this is not my layer"
    assert found.reason == said


def test_a_fault_of_the_kits_own_networks_when_compressed_is_a_bug(monkeypatch):
    monkeypatch.setattr(module, "measure", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trial(Cell("digits-mlp", 0, "svd", "energy", 0.7, "params"), "run")


def test_a_network_is_made_once_a_run(monkeypatch):
    made = []
    monkeypatch.setattr(module, "open_network", lambda *pair: made.append(pair) or open_network(*pair))
    for budget in (0.9, 0.7, 0.5):
        trial(Cell("tiny_networks:mlp", 0, "svd", "energy", budget, "params"), "one")
    assert made == [("tiny_networks:mlp", 0)]
    first = subject("tiny_networks:mlp", 0, "one")
    subject("tiny_networks:mlp", 1, "one")
    subject("tiny_networks:mlp", 0, "two")
    assert [seed for _, seed in made] == [0, 1, 0]
    assert subject("tiny_networks:mlp", 0, "two") is not first
