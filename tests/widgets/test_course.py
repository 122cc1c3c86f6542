"""The training behind a player: the same as the plain calls, whatever it is interrupted by."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.measure import measure
from lowrank_kit.methods.adaptive import AdaptiveTraining
from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.training import one_cycle
from lowrank_kit.records import Data, Examples, Measurement
from lowrank_kit.widgets import course as course_module
from lowrank_kit.widgets.course import Course, Recipe

RECIPE = Recipe(epochs=3, batch=20, local_steps=4)


@pytest.fixture
def made(learner, lessons):
    """(recipe, tolerance) -> a course that has not begun."""
    return lambda recipe=RECIPE, tolerance=0.3, **more: Course(
        learner, lessons, recipe.adaptation(tolerance, None), recipe, **more
    )


def finished(course):
    while course.advance():
        pass
    return course


def same(one, other):
    """Whether two trajectories say the same."""
    assert one.arrays.keys() == other.arrays.keys()
    return all(np.array_equal(one[name], other[name], equal_nan=True) for name in one.arrays)


def test_it_begins_with_the_ranks_and_spectra_of_the_network_as_it_is(made):
    course = made()
    (row,) = course.rows
    assert row["step"] == 0 and np.isnan(row["loss"]) and row["size"] == course.training.n_factored
    assert row["ranks"].tolist() == [[4, 2], [6, 6]]
    for values, layer in zip(row["values"], course.training.layers.values(), strict=True):
        for known, (expected, _) in zip(values, layer.directions(), strict=True):
            np.testing.assert_array_equal(known[: len(expected)], expected)
            assert np.isnan(known[len(expected) :]).all()


def test_it_is_the_training_of_the_plain_calls(made, learner, lessons):
    course = finished(made(tolerance=0.6))
    descent = partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=2e-3)
    loss = partial(F.cross_entropy, label_smoothing=0.05)
    by_hand = AdaptiveTraining(learner, descent, RECIPE.adaptation(0.6, None), loss=loss, schedule=one_cycle)
    torch.manual_seed(0)
    for _ in by_hand.run(Batches.of(lessons.train, size=20, seed=0), 3):
        pass
    by_hand.truncate() if by_hand.position else None
    ours, theirs = course.trajectory, by_hand.trajectory
    np.testing.assert_array_equal(ours.steps[1:], theirs.steps)
    for name in theirs.arrays:
        np.testing.assert_array_equal(ours[name][1:], theirs[name])
    assert (ours["ranks"][-1] < ours["ranks"][0]).any()
    plain, plan = by_hand.compressed()
    expected = measure(plain, lessons, plan=plan, latency_budget_s=0)
    assert course.record.plan == expected.plan
    np.testing.assert_array_equal(course.record.predictions, expected.predictions)
    for name in ("n_params", "size_bytes", "macs"):
        assert getattr(course.record, name) == getattr(expected, name)


def test_what_else_draws_random_numbers_changes_nothing_and_is_not_changed(made):
    alone, beside = finished(made()), made()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    for _ in range(9):
        beside.advance()
    assert torch.equal(torch.get_rng_state(), before)
    while beside.advance():
        torch.rand(3)
    assert same(alone.trajectory, beside.trajectory)


def test_another_seed_is_another_training(made):
    one, other = finished(made()), finished(made(Recipe(epochs=3, batch=20, local_steps=4, seed=1)))
    assert not np.array_equal(one.trajectory["loss"], other.trajectory["loss"], equal_nan=True)


def test_the_network_that_was_given_is_left_as_it_is(made, learner, states):
    before = states(learner)
    finished(made())
    assert states.same(before, states(learner))


def test_accuracy_is_looked_at_on_validation_examples_about_as_often_as_asked(made, lessons, monkeypatch):
    monkeypatch.setattr(course_module, "LOOKED_AT", 40)
    monkeypatch.setattr(course_module, "LOOKS", 3)
    course = finished(made())
    accuracy = course.trajectory["accuracy"]
    assert len(course.looked_at) == 40 == course.facts["n_looked_at"]
    assert np.bincount(course.looked_at.y).tolist() in ([13, 13, 14], [13, 14, 13], [14, 13, 13])
    assert not np.isnan(accuracy[[0, -1]]).any()
    assert course.trajectory.steps[~np.isnan(accuracy)].tolist() == [0, 8, 16, 18]
    found = measure(course.training.model, course.looked_at, latency_budget_s=0)
    last = [course.trajectory[name][-1] for name in ("accuracy", "accuracy_low", "accuracy_high")]
    assert last == [found.accuracy, *found.interval]


def test_looking_leaves_running_statistics_alone(made, monkeypatch):
    often, seldom = made(), made()
    monkeypatch.setattr(course_module, "LOOKS", 1000)
    finished(often)
    monkeypatch.setattr(course_module, "LOOKS", 0.1)
    finished(seldom)
    for one, other in zip(often.training.model.buffers(), seldom.training.model.buffers(), strict=True):
        assert torch.equal(one, other)
    np.testing.assert_array_equal(often.trajectory["loss"], seldom.trajectory["loss"])


def test_the_last_entry_is_that_of_the_network_that_is_tested(made):
    course = finished(made())
    assert course.training.steps == 18 == course.trajectory.steps[-1], "a cycle of 4 steps was under way"
    assert course.training.position == 0
    assert course.trajectory["ranks"][-1].tolist() == [list(layer.ranks) for layer in course.training.layers.values()]
    assert course.expected_rows == len(course.rows)


def test_test_examples_are_looked_at_only_at_the_end(made, lessons, monkeypatch):
    seen = []

    def watched(model, examples):
        seen.append("test" if examples is lessons.test else "validation")
        return (yield from predicted(model, examples))

    predicted = course_module._predicted
    monkeypatch.setattr(course_module, "_predicted", watched)
    finished(made())
    assert seen[-1] == "test" and seen.count("test") == 1


def test_settings_that_change_hold_from_the_next_truncation_on(made):
    course = made(tolerance=0.05)
    while len(course.rows) < 3:
        course.advance()
    course.training.adaptation = RECIPE.adaptation(0.4, 3)
    finished(course)
    found = course.trajectory
    np.testing.assert_array_equal(found["tolerance"][1:], [0.05, 0.05, 0.4, 0.4, 0.4])
    assert np.isnan(found["ceiling"][:3]).all() and (found["ceiling"][3:] == 3).all()
    assert np.nanmax(found["ranks"][2]) > 3 and np.nanmax(found["ranks"][3:]) <= 3


def test_the_network_can_be_had_at_any_time_and_goes_on_unchanged(made):
    alone, asked = finished(made()), made()
    for piece in range(30):
        asked.advance()
        if piece % 7 == 6:
            plain, plan = asked.compressed()
            assert not plain.training and plan.rule == "adaptive"
    finished(asked)
    assert same(alone.trajectory, asked.trajectory)


def test_facts_are_plain_words_and_numbers(made):
    course = made()
    assert course.facts["total"] == 18 and course.facts["matrices"] == ["6"] and course.facts["n_train"] == 120
    assert "test" not in course.facts and course.outcome == {}
    finished(course)
    json.dumps(course.trajectory.to_arrays()[0])
    assert course.facts["test"] == course.outcome
    assert course.outcome["accuracy"] == course.record.accuracy and course.outcome["change"] is None
    assert course.outcome["n_params"] == sum(p.numel() for p in course.compressed()[0].parameters())


def test_the_change_against_a_dense_network_is_paired(made, lessons):
    wrong = np.roll(lessons.test.y, 1)
    dense = Measurement("dense", 1, 4, 1, lessons.test.y, np.where(np.arange(60) < 30, lessons.test.y, wrong))
    course = finished(made(dense=dense))
    change = course.record.change(dense)
    assert course.outcome["change"] == [change.value, change.low, change.high]
    foreign = Measurement("dense", 1, 4, 1, wrong, wrong)
    with pytest.raises(InputError, match="`dense` must be measured on the test examples of `data`"):
        made(dense=foreign)


def test_steps_that_were_undone_are_counted(made):
    course, faults = made(), iter([6])

    def loss(outputs, labels, known=course.training.loss):
        broken = course.training.steps == 6 and next(faults, None)
        return known(outputs, labels) * (float("nan") if broken else 1.0)

    course.training.loss = loss
    finished(course)
    assert course.progress == {"done": 18, "total": 18, "undone": 1}
    assert np.isfinite(course.trajectory["loss"][1:]).all() and course.record is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "`epochs` must be a whole number of at least 1; got 0."),
        ({"batch": 2.5}, "`batch` must be a whole number of at least 1; got 2.5."),
        ({"epochs": True}, "`epochs` must be a whole number of at least 1; got True."),
        ({"learning_rate": 0}, "`learning_rate` must be above 0; got 0."),
    ],
)
def test_a_recipe_that_cannot_be_gets_a_sentence(options, words):
    with pytest.raises(InputError) as refusal:
        Recipe(**options)
    assert str(refusal.value) == words


def test_data_without_training_examples_get_a_sentence(learner, lessons):
    bare = Data("bare", lessons.validation, lessons.test)
    with pytest.raises(InputError, match=r"`data` must hold training examples.*'bare' has validation and test"):
        Course(learner, bare, RECIPE.adaptation(0.3, None), RECIPE)


def test_labels_outside_the_classes_get_a_sentence_before_a_step_is_taken(learner, lessons):
    wrong = Examples(lessons.validation.x, lessons.validation.y + 1)
    course = Course(learner, Data("x", wrong, lessons.test, lessons.train), RECIPE.adaptation(0.3, None), RECIPE)
    with pytest.raises(InputError, match="labels must lie between 0 and 2"):
        finished(course)
    assert course.training.steps == 0


def test_a_network_of_matrices_alone(lessons):
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 3))
    course = finished(Course(mlp, lessons, RECIPE.adaptation(0.2, None), RECIPE))
    assert course.facts["matrices"] == ["3"] and course.record.accuracy > 0.4
