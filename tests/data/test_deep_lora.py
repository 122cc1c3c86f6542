"""What data/deep_lora.py records, the study of few examples can read."""

import json

import pytest

from lowrank_kit.studies.adaptation import AdaptationStudy


@pytest.fixture
def small(script, monkeypatch):
    """The script with two steps a training and few of them."""
    found = script("deep_lora")
    small = {"EXAMPLES": (16,), "RANKS": (2, 8), "RATES": (1e-3, 1e-2), "TUNED_ON": (100,), "SEEDS": (0, 1)}
    for name, value in (small | {"SHOWN_EXAMPLES": (16,)}).items():
        monkeypatch.setattr(found, name, value)
    return found


def test_a_study_of_what_was_recorded(small, tmp_path):
    path = tmp_path / "adaptation.json"
    small.record(path, steps=2)
    study = AdaptationStudy.read(path)
    assert study.facts.keys() == AdaptationStudy.read(small.PATH).facts.keys()
    assert (study.methods, study.examples, study.ranks) == (("lora", "deep-lora", "full"), (16,), (2, 8))
    assert len(study.rows) == 5 * 2 * 1 + 5 * 2
    # Nothing that a choice is made by has seen the test examples.
    assert all(("test" in row, "validation" in row) == (row["part"] == "report", row["part"] == "tuning")
               for row in study.rows)  # fmt: skip
    assert (study.n_trained("lora"), study.n_trained("deep-lora")) == (32_768, 32_768 + 16 * 3 * 8**2)
    assert study.n_trained("full") == study.facts["params"] == 204_938
    assert {part.layer for part in study.values("deep-lora", 16)} == set(small.SHOWN)

    # It goes on where it was stopped, to the same end.
    whole = path.read_text(encoding="utf-8")
    found = json.loads(whole)
    found["rows"] = [row for row in found["rows"] if row["seed"] != 1 and row["rate"] != 1e-2]
    path.write_text(json.dumps(found), encoding="utf-8")
    small.record(path, steps=2)
    assert path.read_text(encoding="utf-8") == whole

    with pytest.raises(SystemExit, match="made with other settings"):
        small.record(path, steps=3)


def test_the_kits_own_study_is_of_the_scripts_settings(script):
    own = script("deep_lora")
    study = AdaptationStudy.read(own.PATH)
    assert study.facts["settings"] == json.loads(json.dumps(own.settings()))
    cells = [(name, n, rank) for name, n, rank in own.cells()]
    tuned = [own.place(row) for row in study.rows if row["part"] == "tuning"]
    assert tuned == [("tuning", *cell, rate, s) for cell in cells for rate in own.RATES for s in own.TUNED_ON]
    told = [(row["method"], row["n"], row["rank"], row["seed"]) for row in study.rows if row["part"] == "report"]
    assert told == [(*cell, seed) for cell in cells for seed in own.SEEDS]


def test_a_training_that_breaks_off_is_told_and_counts_as_nothing(script):
    row = script("deep_lora").tuning("lora", 16, 2, 1e30, 0, 20)
    assert row["validation"] == 0.0 and "3 times in a row" in row["reason"]
