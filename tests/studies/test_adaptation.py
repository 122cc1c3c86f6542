"""The study of few examples chooses on validation examples and reports, in pairs, on test examples."""

import json

import numpy as np
import pytest
from scipy import stats

from lowrank_kit.checks import InputError
from lowrank_kit.studies.adaptation import AdaptationStudy, best_rates, few, other_digits
from lowrank_kit.studies.comparison import mean_interval

TEST = {"lora": 0.80, "deep-lora": 0.84, "full": 0.90}
SEEDS = (0, 1, 2)


def tuning(method, n, rank, rate, seed, validation):
    row = {"part": "tuning", "method": method, "n": n, "rank": rank, "rate": rate, "seed": seed}
    return row | {"validation": validation}


def reported(method, n, rank, seed):
    """Accuracy grows with n, and less with rank; seeds differ by what all methods share, and a little more."""
    test = TEST[method] + n / 1000 + (rank or 0) / 1000 + 0.01 * seed + (0.001 * seed**2 if method == "lora" else 0)
    row = {"part": "report", "method": method, "n": n, "rank": rank, "rate": 0.1, "seed": seed, "test": test}
    row |= {"trained": 1000 if rank is None else 10 * rank, "energy": [0.5 + 0.1 * seed, 1.0]}
    return row | ({"values": {"fc1": [2.0 + seed, 1.0], "fc2": [1.0, 0.5]}} if n == 16 and rank != 4 else {})


def cells():
    over_examples = [(method, n, None if method == "full" else 8) for n in (16, 64) for method in TEST]
    return over_examples + [(method, 16, 4) for method in ("lora", "deep-lora")]


@pytest.fixture
def path(tmp_path):
    # The larger rate is better on one draw and worse on the mean.
    rows = [tuning(*cell, 0.1, s, 0.7) for cell in cells() for s in (100, 101)]
    rows += [tuning(*cell, 0.2, s, v) for cell in cells() for s, v in ((100, 0.8), (101, 0.5))]
    rows += [reported(*cell, seed) for cell in cells() for seed in SEEDS]
    settings = {"examples": [16, 64], "rank": 8, "ranks": [4, 8], "seeds": [*SEEDS], "top": [1, 4]}
    facts = {"settings": settings, "zero_shot": {"validation": 0.6, "test": 0.5}, "sizes": {"test": 500}}
    found = tmp_path / "adaptation.json"
    found.write_text(json.dumps(facts | {"rows": rows}), encoding="utf-8")
    return found


@pytest.fixture
def study(path):
    return AdaptationStudy.read(path)


def test_rates_are_chosen_on_validation_examples(study):
    assert study.rate("lora", 16) == study.rate("full", 64) == 0.1
    assert best_rates(study.rows)["lora", 16, 4] == 0.1
    assert study.validation("lora", 16) == {0.1: pytest.approx(0.7), 0.2: pytest.approx(0.65)}


def test_of_equal_rates_the_smallest_is_taken():
    rows = [tuning("lora", 16, 8, rate, 0, 0.5) for rate in (0.3, 0.1, 0.2)]
    assert best_rates(rows) == {("lora", 16, 8): 0.1}


def test_means_and_intervals(study):
    values = [row["test"] for row in study.rows if (row["part"], row["method"], row["n"]) == ("report", "full", 64)]
    found = study.test("full", 64)
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert found == pytest.approx((np.mean(values), *expected))


def test_the_advantage_is_paired_by_seed(study):
    """What all methods share with a seed is in no interval."""
    assert study.advantage(64) == pytest.approx(mean_interval([0.04, 0.039, 0.036]))
    assert study.advantage(16, 4) == pytest.approx(study.advantage(64))
    assert study.advantage(16, of="full", over="deep-lora") == pytest.approx([0.052] * 3)


def test_a_rank_that_is_not_given_is_the_studys_own(study):
    assert study.test("lora", 16) == study.test("lora", 16, 8) != study.test("lora", 16, 4)
    assert (study.n_trained("lora"), study.n_trained("lora", 4), study.n_trained("full")) == (80, 40, 1000)


def test_energy_is_a_mean_over_seeds(study):
    assert study.energy("lora", 16) == {1: pytest.approx(0.6), 4: 1.0}


def test_curves(study):
    before, *trained = study.over_examples()
    assert (before.method, before.mean.tolist(), before.axis) == ("zero-shot", [0.5, 0.5], "examples")
    assert [curve.method for curve in trained] == ["lora", "deep-lora", "full"]
    assert trained[0].at.tolist() == [16, 64] and trained[0].seeds == 3 and trained[0].n == 500
    assert (trained[0].low[1], trained[0].high[1]) == pytest.approx(study.test("lora", 64)[1:])
    before, *trained = study.over_ranks()
    assert [curve.method for curve in trained] == ["lora", "deep-lora"]
    assert all(curve.at.tolist() == [4, 8] and curve.axis == "rank" for curve in (before, *trained))
    assert repr(before) == "AccuracyCurve(zero-shot over rank: 50.0% at 4, 50.0% at 8)"


def test_singular_values_of_updates(study):
    first, second = study.values("deep-lora", 16)
    assert (first.layer, first.rank, first.values.tolist()) == ("fc1", 8, [[2, 1], [3, 1], [4, 1]])
    assert (second.layer, second.values.shape, second.examples) == ("fc2", (3, 2), 16)
    with pytest.raises(InputError, match="kept for 16 examples, 16 examples at rank 8; not for 16 examples at rank 4"):
        study.values("lora", 16, 4)


def test_as_text(study):
    lines = study.as_text().splitlines()
    assert lines[0] == "zero-shot: 50.0% of 500"
    assert lines[1].startswith("  16 examples  lora      rate 0.1     83.6% [")
    assert "deep-lora - lora       +3.8 points [" in lines[4]
    assert len(lines) == 1 + 2 * 4 + 2 * 3


def test_says_what_is_wrong(study, tmp_path):
    with pytest.raises(InputError, match="`method` must be one of 'lora', 'deep-lora', 'full'; got 'dora'"):
        study.test("dora", 16)
    with pytest.raises(InputError, match=r"'lora' was tried with 16 examples at rank 4, .*; got 32 and None"):
        study.test("lora", 32)
    (tmp_path / "other.json").write_text('{"rows": [{"method": 1}]}', encoding="utf-8")
    with pytest.raises(InputError, match=r"must be a file that data/deep_lora.py wrote"):
        AdaptationStudy.read(tmp_path / "other.json")


def test_the_kits_own_is_whole():
    study = AdaptationStudy.read()
    assert (study.methods, study.examples, study.n_seeds) == (("lora", "deep-lora", "full"), (16, 64, 256), 10)
    for curve in (*study.over_examples(), *study.over_ranks()):
        assert (curve.low <= curve.mean).all() and (curve.mean <= curve.high).all() and (curve.mean < 1).all()
    # Fine-tuning has something to do, and does it.
    assert all(study.test(name, 16)[1] > study.facts["zero_shot"]["test"] for name in study.methods)


# the new task


def test_other_digits_are_stretched_and_keep_their_labels(digits):
    _, before = digits
    data = other_digits()
    assert data.train.x.shape == (1000, 1, 28, 28) and data.train.x.dtype == np.float32
    assert all(
        np.array_equal(getattr(data, part).y, getattr(before, part).y) for part in ("train", "validation", "test")
    )
    assert data.test.x.min() >= 0 and data.test.x.max() <= 1
    corners = data.test.x[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.allclose(corners, before.test.x[:, [0, 7, 56, 63]])


def test_few_are_drawn_by_the_seed_from_all_classes():
    train = other_digits().train
    one, same, other = (few(train, 20, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.x, same.x) and not np.array_equal(one.x, other.x)
    assert np.bincount(one.y, minlength=10).min() >= 1 and len(one) == 20
