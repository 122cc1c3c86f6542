"""What data/decay.py records, the study of decaying cores can read."""

import json
from itertools import product

import numpy as np
import pytest

from lowrank_kit.studies.decay import DecayStudy


@pytest.fixture
def decay(script):
    return script("decay")


@pytest.fixture
def recorded(decay, tmp_path):
    """Cells -> the study of them, an epoch each."""

    def record(*cells):
        decay.record(cells, tmp_path / "decay.json", epochs=1)
        return DecayStudy.read(tmp_path / "decay.json")

    return record


def test_a_study_of_what_was_recorded(decay, recorded):
    study = recorded(*product(decay.METHODS, [0.5], [0.2], [0, 1]))
    kits = DecayStudy.read(decay.PATH)
    assert study.facts.keys() == kits.facts.keys()
    assert (study.methods, study.decays, study.facts["epochs"]) == (decay.METHODS, (0.5,), 1)
    for curve in study.curves():
        assert curve.steps.tolist() == [7, 14] and curve.losses.shape == (2, 2) and np.isfinite(curve.losses).all()
    for row in study.rows:
        assert 0 <= row["validation"] <= 1 and 0 <= row["test"] <= 1
        assert ("ranks" in row) is (row["method"] == "adaptive")


def test_the_kits_own_study_is_of_the_scripts_settings(decay):
    kits = DecayStudy.read(decay.PATH)
    settings = {name: value for name, value in decay.facts(decay.EPOCHS).items() if name not in ("recorded", "python")}
    assert settings.items() <= kits.facts.items()
    cells = [tuple(row[name] for name in ("method", "decay", "rate", "seed")) for row in kits.rows]
    assert cells == [*product(decay.METHODS, decay.DECAYS, decay.RATES, decay.SEEDS)]


def test_adaptive_ranks_never_pass_those_of_plain_factors(decay, recorded):
    decay.LOCAL_STEPS = 8  # which the 16 steps of an epoch are a multiple of
    ranks = [row["ranks"] for row in recorded(("adaptive", 0.0, 0.1, 0), ("adaptive", 1.0, 0.5, 0)).rows]
    assert [{*found} for found in ranks] == [{*decay.LAYERS}] * 2
    assert [max(map(max, found.values())) for found in ranks] == [decay.CEILING] * 2


def test_a_training_that_breaks_off_is_told_and_counts_as_nothing(recorded):
    study = recorded(("dense", 0.0, 1e30, 0), ("dense", 0.0, 1e30, 1))
    for row in study.rows:
        assert "3 times in a row" in row["reason"] and "losses" not in row
    assert study.test("dense", 0.0) == (0.0, 0.0, 0.0)


def test_the_same_seed_gives_the_same_row(decay):
    one, other = (decay.cell("vanilla", 0.5, 0.1, 3, 1) for _ in range(2))
    assert json.dumps(one) == json.dumps(other)
    assert one["losses"] != decay.cell("vanilla", 0.5, 0.1, 4, 1)["losses"]
