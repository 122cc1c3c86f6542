"""Predictions of a classifier, with its answers checked before anything is counted."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from lowrank_kit.checks import InputError, check_labels
from lowrank_kit.models.running import batches, evaluating, inputs_for
from lowrank_kit.records import Examples

__all__ = ["Stopped", "logits", "logits_by_batch", "predictions"]


class Stopped(Exception):  # noqa: N818 (no error: nothing is wrong)
    """Work that was given up because something newer was asked for."""


def logits_by_batch(model: nn.Module, x: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of `logits`, a batch at a time."""
    for batch in batches(x):
        with evaluating(model):
            scores = class_scores(model(inputs_for(model, batch)))
        yield scores


def logits(model: nn.Module, x: np.ndarray, *, stop: Callable[[], bool] = lambda: False) -> np.ndarray:
    """Outputs (n, classes) for inputs x (n, ...), float32.

    Raises InputError unless the model returns one tensor of finite class scores, and Stopped when `stop()`, asked
    after every batch, is true.
    """
    parts = []
    for scores in logits_by_batch(model, x):
        if stop():
            raise Stopped
        parts.append(scores)
    return np.concatenate(parts)


def predictions(model: nn.Module, examples: Examples, *, stop: Callable[[], bool] = lambda: False) -> np.ndarray:
    """The predicted class (n,) of every example. Raises as `logits`, and where labels lie outside the classes."""
    scores = logits(model, examples.x, stop=stop)
    check_labels(examples.y, scores.shape[1])
    return scores.argmax(axis=1)


def class_scores(output: object) -> np.ndarray:
    """A model's output as an array (n, classes). Raises InputError where it is anything else."""
    if not isinstance(output, torch.Tensor):
        raise InputError(
            "`model` must return one tensor of class scores (n, classes); it returned "
            f"a {type(output).__name__}. Wrap it in a module that returns the scores alone."
        )
    if output.ndim != 2:
        raise InputError(f"`model` must return class scores (n, classes); it returned shape {tuple(output.shape)}.")
    scores = output.float().cpu().numpy()
    if not np.isfinite(scores).all():
        raise InputError("`model` must return finite class scores; some are NaN or infinite.")
    return scores
