"""A training that data/course.py recorded can be played, and says of itself what the kit's own says."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from lowrank_kit.files import read_arrays
from lowrank_kit.records import Data, Trajectory
from lowrank_kit.widgets.course import Recipe
from lowrank_kit.widgets.recording import Recording, described, limits_of

RECIPE = Recipe(epochs=2, batch=32, local_steps=2)


@pytest.fixture
def course(script):
    return script("course")


@pytest.fixture
def few(mnist):
    """64 of the images to train, 30 each to look at and to report."""
    data = mnist[1]
    parts = zip((data.validation, data.test, data.train), (30, 30, 64), strict=True)
    return Data("mnist-cnn", *(examples.take(np.arange(n)) for examples, n in parts))


def read(path):
    return Trajectory.from_arrays(*read_arrays(path))


def test_a_recorded_training_can_be_played(course, few, tmp_path):
    path = tmp_path / "adaptive" / "training.safetensors"
    finished = course.record(few, RECIPE, path)
    found, kits = read(path), read(course.PATH)
    assert found.facts.keys() == kits.facts.keys() and found.arrays.keys() == kits.arrays.keys()
    assert (found.name, found.layers, found.steps[-1]) == (kits.name, kits.layers, 4)
    assert Recording(found).outcome == finished.outcome and finished.outcome["change"] is not None
    words = described(found, limits_of(found))
    assert (words["n_train"], words["epochs"], words["total"]) == (64, 2, 4) and torch.__version__ in words["recorded"]
    np.testing.assert_array_equal(found.last("ranks"), finished.trajectory.last("ranks"))


def test_the_kits_own_training_is_of_the_scripts_recipe(course):
    found = read(course.PATH)
    assert asdict(course.RECIPE).items() <= found.facts.items()
    assert found.last("tolerance") == pytest.approx(course.TOLERANCE)


def test_rows_are_one_in_four_and_those_with_an_accuracy(course):
    accuracy = np.full(12, np.nan)
    accuracy[[0, 5, 11]] = 0.1, 0.5, 0.9
    whole = Trajectory("x", np.arange(12) * 5, {"accuracy": accuracy, "size": np.arange(12)}, (), {"epochs": 3})
    found = course.thinned(whole)
    assert found.steps.tolist() == [0, 15, 25, 35, 55] and found["size"].tolist() == [0, 3, 5, 7, 11]
    assert {values.dtype for values in found.arrays.values()} == {np.dtype(np.float32)}
    assert found.facts["epochs"] == 3
