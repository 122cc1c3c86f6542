"""The table of a comparison says what its rows say, and the kit's own holds what the kit claims of it."""

import json

import numpy as np
import pytest
from scipy import stats

from lowrank_kit.checks import InputError
from lowrank_kit.files import shipped
from lowrank_kit.studies.comparison import Comparison, mean_interval


def row(method, seed, test, rate=0.1, **more):
    sizes = {"convolutions": 100, "linear": 50, "norms": 4}
    found = {"method": method, "seed": seed, "rate": rate, "test": test, "sizes": sizes, "nonzero": sizes, "macs": 7}
    return found | {"speedup": {"1": 1.0, "64": 2.0}, "trained_params": 200, "step_ms": 3.0} | more


FACTS = {
    "format": "lowrank-kit comparison 1",
    "recorded": "once, somewhere",
    "rates": {"dense": 0.1, "small": 0.2, "cut": 0.0},
}
FEW = {"nonzero": {"convolutions": 10, "linear": 5, "norms": 4}}
ROWS = [
    *(row("dense", seed, test) for seed, test in enumerate((0.9, 0.8, 0.7))),
    *(row("small", seed, test, 0.2, **FEW) for seed, test in ((2, 0.72), (0, 0.88), (1, 0.81))),
    row("small", 0, 0.1, rate=0.4),
    {"method": "small", "seed": 3, "rate": 0.2, "reason": "not finite"},
    *(row("cut", seed, 0.5, 0.0, trained_params=None) for seed in (0, 1)),
]
for cut in ROWS[-2:]:
    del cut["trained_params"], cut["step_ms"]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "comparison.json"
    path.write_text(json.dumps(FACTS | {"rows": ROWS}), encoding="utf-8")
    return path


@pytest.fixture
def small(path):
    return {line["method"]: line for line in Comparison.read(path).lines()}["small"]


def test_an_interval_is_students(rng):
    values = rng.standard_normal(5).tolist()
    mean, low, high = mean_interval(values)
    found = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((np.mean(values), found.low, found.high))


def test_changes_are_paired_by_seed(path):
    comparison = Comparison.read(path)
    assert comparison.change("small") == pytest.approx(mean_interval([-0.02, 0.01, 0.02]))
    assert comparison.change("small", "cut") == pytest.approx(mean_interval([0.38, 0.31]))
    assert comparison.change("dense") == pytest.approx((0, 0, 0))


def test_only_the_chosen_rate_counts_and_only_what_came_to_an_end(small):
    assert small["seeds"] == 3
    assert small["rate"] == 0.2
    assert small["accuracy"] == pytest.approx(np.mean([0.72, 0.88, 0.81]))


def test_sizes_count_what_is_not_zero_and_tell_what_is_stored(small):
    assert (small["convolutions"], small["removed"]) == (10, pytest.approx(0.9))
    assert (small["params"], small["stored_params"], small["macs"]) == (19, 154, 7)


def test_what_trains_nothing_has_no_step(path):
    line = Comparison.read(path).lines()[-1]
    assert line["method"] == "cut"
    assert line["step_ms"] is None
    assert line["trained_params"] is None


def test_the_table_has_a_line_for_each_method_and_says_what_it_means(path):
    text = Comparison.read(path).as_text()
    head, dense, small, cut, *legend = text.splitlines()
    assert head.split()[:3] == ["method", "rate", "accuracy"]
    assert dense.startswith("dense   0.1   80.00%  ")
    assert "mean over 2 or 3 seeds" in " ".join(legend)
    assert max(map(len, text.splitlines())) <= 120
    assert "+0.33 [-4.84, +5.50]" in small
    assert "90.0%" in small
    assert cut.split()[1] == "-"
    assert "not zero; all are stored" in " ".join(legend)
    assert "once, somewhere" in text


def test_an_unknown_method_and_too_few_seeds_are_told(path):
    comparison = Comparison.read(path)
    with pytest.raises(InputError, match="`method` must be one of 'dense', 'small', 'cut'"):
        comparison.change("smal")
    alone = Comparison(FACTS, tuple(ROWS[:1]))
    with pytest.raises(InputError, match="two seeds in common at least; got 1"):
        alone.change("dense")
    assert alone.lines() == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other", "rows": []}'])
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"must be a comparison that data/compare\.py wrote"):
        Comparison.read(path)
    with pytest.raises(InputError, match="must be a comparison"):
        Comparison.read(tmp_path / "missing.json")


@pytest.fixture(scope="module")
def own():
    return Comparison.read()


def test_stored_accuracies_are_those_of_the_stored_predictions(own):
    with np.load(shipped("data", "mnist.npz"), allow_pickle=False) as parts:
        assert own.facts["labels"] == "".join(map(str, parts["test_y"]))
    labels = np.array([*own.facts["labels"]])
    for found in own.rows:
        assert (np.array([*found["predictions"]]) == labels).mean() == pytest.approx(found["test"])


def test_rates_were_chosen_on_validation_images_alone_and_not_at_an_end_of_what_was_tried(own):
    seeds = own.facts["settings"]["tuned_on"]
    for method, rate in own.facts["rates"].items():
        tried = {r["rate"] for r in own.rows if r["method"] == method}
        scores = {
            t: np.mean([(r["distorted"], -r["distorted_loss"]) for r in own.rows
                        if (r["method"], r["rate"]) == (method, t) and r["seed"] in seeds], axis=0).tolist()
            for t in tried
        }  # fmt: skip
        assert rate == max(scores, key=scores.get)
        assert tried == {0.0} or min(tried) < rate < max(tried)


def test_every_method_has_all_seeds_and_costs_what_it_should(own):
    lines = {line["method"]: line for line in own.lines()}
    assert {line["seeds"] for line in lines.values()} == {len(own.facts["settings"]["seeds"])} == {5}
    tdlrt = lines["tdlrt"]
    for method in ("fixed-tucker", "cut-tucker", "cut-tucker-tuned"):
        assert (lines[method]["params"], lines[method]["macs"]) == (tdlrt["params"], tdlrt["macs"])
    assert lines["pruned-tuned"]["params"] == lines["pruned"]["params"] == tdlrt["params"]
    assert lines["pruned-tuned"]["macs"] == lines["dense"]["macs"]
    assert 0.95 * tdlrt["macs"] < lines["narrow-macs"]["macs"] <= tdlrt["macs"]
    for method in ("narrow-params", "dlrt", "cut-svd", "cut-svd-tuned"):
        assert 0.9 * tdlrt["params"] < lines[method]["params"] <= tdlrt["params"]


def test_a_tenth_of_the_convolutions_loses_half_a_point_at_most(own):
    line = next(line for line in own.lines() if line["method"] == "tdlrt")
    assert min(1 - r["sizes"]["convolutions"] / 92_960 for r in own.of("tdlrt").values()) >= 0.9
    assert line["change"] >= -0.005
