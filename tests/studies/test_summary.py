"""The table at the end says what the rows say."""

from dataclasses import replace

import numpy as np
import pytest

from lowrank_kit.records import Timing
from lowrank_kit.studies import run as module
from lowrank_kit.studies.results import Results
from lowrank_kit.studies.summary import as_text, summary


@pytest.fixture
def finished(study, path, monkeypatch):
    def latency(models, x, *, batch, budget_s):
        return [Timing(np.full(5, seconds), batch, "chip", "float32", "contiguous", 1) for seconds in (0.3, 0.2)]

    monkeypatch.setattr(module, "latency", latency)
    timed = replace(study, latency_batches=[1])
    list(timed.run(path, jobs=1))
    return timed, Results(path)


def test_a_line_is_the_mean_over_seeds(finished):
    study, results = finished
    lines = summary(results, study)
    rows = [row for row in results.rows(study) if row["budget"] == 0.6]
    line = next(line for line in lines if line["budget"] == 0.6)
    accuracies = [row["accuracy"] for row in rows]
    assert len({*accuracies}) == line["seeds"] == 2
    assert line["accuracy"] == pytest.approx(np.mean(accuracies))
    assert (line["low"], line["high"]) == (min(accuracies), max(accuracies))
    assert line["params"] == pytest.approx(np.mean([row["n_params"] / row["dense_n_params"] for row in rows]))
    assert line["macs"] == pytest.approx(np.mean([row["macs"] / row["dense_macs"] for row in rows]))
    assert line["speedup"] == {1: pytest.approx(1.5)}


def test_a_single_seed_has_its_own_interval(finished):
    study, results = finished
    one = replace(study, seeds=[1], latency_batches=[])
    line, (row, *_) = summary(results, one)[0], results.rows(one)
    assert (line["accuracy"], line["low"], line["high"]) == (row["accuracy"], row["accuracy_low"], row["accuracy_high"])
    assert line["speedup"] == {}


def test_the_table_has_a_line_for_each_and_a_reason_for_what_is_missing(finished):
    study, results = finished
    lines = as_text(study, summary(results, study)).splitlines()
    head = "network method rule budget accuracy seeds parameters multiply-adds speed-up (1 at once)"
    assert " ".join(lines[0].split()) == head
    assert [line.split()[:4] for line in lines[1:4]] == [
        ["tiny_networks:mlp", "svd", "energy", budget] for budget in ("0.9", "0.6", "0.01")
    ]
    assert lines[2].endswith("1.50")
    assert lines[3].split()[4:] == ["-", "0", "-", "-", "-"]
    assert lines[-1].startswith("Not measured on tiny_networks:mlp: `budget` must be at least ")
    assert len(lines) == 1 + 3 + 2 + 1


def test_a_study_that_has_just_begun_has_a_table_too(study, path):
    rows = study.run(path, jobs=1)
    next(rows)
    rows.close()
    assert len(summary(Results(path), study)) == 1
