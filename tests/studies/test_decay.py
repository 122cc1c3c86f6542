"""The study of decaying cores chooses on validation examples and reports on test examples."""

import json

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.studies.decay import DecayStudy


def row(method, decay, rate, seed, validation, test):
    found = {"method": method, "decay": decay, "rate": rate, "seed": seed}
    return found | {"validation": validation, "test": test, "losses": [2.0, rate]}


@pytest.fixture
def path(tmp_path):
    rows = [row("vanilla", 0.0, 0.1, s, 0.9, 0.80 + 0.01 * s) for s in (0, 1)]
    rows += [row("vanilla", 0.0, 0.5, s, 0.8, 0.99) for s in (0, 1)]
    # One seed of the better rate broke off.
    rows += [row("adaptive", 0.0, 0.1, s, 0.6, 0.5) for s in (0, 1)]
    rows += [row("adaptive", 0.0, 0.5, 0, 1.0, 1.0)]
    rows += [{"method": "adaptive", "decay": 0.0, "rate": 0.5, "seed": 1, "reason": "the loss is nan"}]
    found = tmp_path / "decay.json"
    found.write_text(json.dumps({"recorded": "then", "every": 7, "rows": rows}), encoding="utf-8")
    return found


def test_rates_are_chosen_on_validation_examples(path):
    found = DecayStudy.read(path)
    assert found.rate("vanilla", 0.0) == 0.1
    assert found.test("vanilla", 0.0)[0] == pytest.approx(0.805)


def test_a_training_that_broke_off_counts_as_nothing(path):
    assert DecayStudy.read(path).rate("adaptive", 0.0) == 0.1


def test_curves_are_those_of_the_chosen_rates(path):
    vanilla, adaptive = DecayStudy.read(path).curves()
    assert (vanilla.method, vanilla.rate, adaptive.rate) == ("vanilla", 0.1, 0.1)
    assert vanilla.steps.tolist() == [7, 14]
    assert np.allclose(vanilla.losses, [[2, 0.1], [2, 0.1]])


def test_a_line_for_every_method(path):
    first, second = DecayStudy.read(path).as_text().splitlines()
    assert first.startswith("decay 0    vanilla   rate 0.1   accuracy 80.5% [")
    assert second == "decay 0    adaptive  rate 0.1   accuracy 50.0% [50.0%, 50.0%]"


def test_the_kits_own_is_whole():
    found = DecayStudy.read()
    assert len(found.curves()) == len(found.methods) * len(found.decays)
    assert all(np.isfinite(curve.losses).all() for curve in found.curves())


def test_says_what_is_wrong(path, tmp_path):
    with pytest.raises(InputError, match="got 'dense'"):
        DecayStudy.read(path).rate("dense", 0.0)
    for text in ("", "[]", '{"rows": []}', '{"rows": [{"method": 1}]}'):
        (tmp_path / "other.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="must be a file that"):
            DecayStudy.read(tmp_path / "other.json")
