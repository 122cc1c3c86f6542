"""A classifier's answers are checked before anything is counted, and neither network nor data are changed."""

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.quality import Stopped, logits, logits_by_batch, predictions
from lowrank_kit.models import running
from lowrank_kit.records import Examples


@pytest.fixture(autouse=True)
def known_batches(monkeypatch):
    """Batches of at most 128, whatever suits a processor best."""
    monkeypatch.setattr(running, "EXAMPLES_A_BATCH", 128)


class Answer(nn.Module):
    """Answers whatever `make` makes of the inputs."""

    def __init__(self, make):
        super().__init__()
        self.make = make
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.make(x)


def predictions_until(model, examples, stop):
    return predictions(model, examples, stop=stop)


def test_logits_are_the_models_whatever_the_batches(mlp, rng):
    x = rng.standard_normal((300, 12)).astype(np.float32)  # three batches
    with torch.inference_mode():
        expected = mlp(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(logits(mlp, x), expected, rtol=1e-5, atol=1e-6)


def test_rows_come_by_batch_with_the_modes_put_back_between(mlp, rng):
    x, parts = rng.standard_normal((300, 12)).astype(np.float32), []
    mlp.train()[0].eval()
    before = [m.training for m in mlp.modules()]
    for scores in logits_by_batch(mlp, x):
        parts.append(scores)
        assert [m.training for m in mlp.modules()] == before
        assert not torch.is_inference_mode_enabled()
    assert [len(part) for part in parts] == [128, 128, 44]
    np.testing.assert_array_equal(np.concatenate(parts), logits(mlp, x))


@pytest.mark.parametrize("answers", [[True], [False, True], [False, False, True]])
@pytest.mark.parametrize("ask", [lambda m, data, stop: logits(m, data.x, stop=stop), predictions_until])
def test_it_stops_between_batches(mlp, rng, answers, ask):
    many = Examples(rng.standard_normal((300, 12)).astype(np.float32), np.zeros(300, int))
    batches_run, left = [], iter(answers)
    mlp.register_forward_hook(lambda *_: batches_run.append(1))
    mlp.train()[0].eval()
    before = [m.training for m in mlp.modules()]
    with pytest.raises(Stopped):
        ask(mlp, many, lambda: next(left))
    assert len(batches_run) == len(answers)
    assert [m.training for m in mlp.modules()] == before
    assert not torch.is_inference_mode_enabled()


def test_what_is_not_stopped_is_whole(mlp, vectors):
    np.testing.assert_array_equal(logits(mlp, vectors.x, stop=lambda: False), logits(mlp, vectors.x))


def test_stopping_is_no_mistake_of_the_callers():
    assert not issubclass(Stopped, InputError)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_inputs_take_the_models_dtype(mlp, vectors, dtype):
    found = logits(mlp.to(dtype), vectors.x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, logits(mlp.float(), vectors.x), atol=0.05)


def test_whole_numbers_reach_an_embedding_as_they_are():
    model = nn.Sequential(nn.Embedding(9, 6), nn.Flatten(), nn.Linear(18, 4))
    assert logits(model, np.array([[1, 2, 8], [0, 0, 0]])).shape == (2, 4)


def test_batchnorm_statistics_are_left_alone(residual, images, states):
    residual.train()
    before = states(residual)
    predictions(residual, images)
    assert states.same(before, states(residual))


def test_a_network_that_works_in_place_leaves_the_data_alone(vectors):
    before = vectors.x.copy()
    first = logits(Answer(lambda x: x.sub_(0.5).relu_()[:, :4]), vectors.x)
    np.testing.assert_array_equal(vectors.x, before)
    np.testing.assert_array_equal(first, np.maximum(before - 0.5, 0)[:, :4])


def test_data_that_cannot_be_written_to_are_no_obstacle(mlp, vectors):
    vectors.x.flags.writeable = False
    assert predictions(mlp, vectors).shape == (60,)
    assert predictions(mlp, vectors.take(slice(None, None, -1))).tolist() == predictions(mlp, vectors)[::-1].tolist()


def some_nan(x):
    out = x[:, :4].clone()
    out[2, 1] = float("nan")
    return out


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: (x, x), r"one tensor of class scores \(n, classes\); it returned a tuple\. Wrap it"),
        (lambda x: {"logits": x}, "it returned a dict"),
        (lambda x: x[:, 0], r"class scores \(n, classes\); it returned shape \(60,\)"),
        (lambda x: x[:, :, None], r"it returned shape \(60, 12, 1\)"),
        (some_nan, "finite class scores; some are NaN or infinite"),
        (lambda x: x / 0, "finite class scores"),
    ],
)
def test_what_is_no_class_score(make, words, vectors):
    with pytest.raises(InputError, match=words):
        predictions(Answer(make), vectors)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.full(60, 4), "between 0 and 3, the classes of the model's output; got labels from 4 to 4"),
        (np.full(60, -1), "labels from -1 to -1"),
        (np.linspace(0, 3, 60), "whole numbers in one dimension; got float64"),
    ],
)
def test_labels_outside_the_classes(mlp, vectors, y, words):
    with pytest.raises(InputError, match=words):
        predictions(mlp, Examples(vectors.x, y))
