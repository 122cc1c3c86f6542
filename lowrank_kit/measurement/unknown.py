"""Does a network notice what it was never trained on?"""

from collections.abc import Callable, Iterable

import numpy as np
from scipy.special import logsumexp
from torch import nn

from lowrank_kit.checks import InputError, check_name, check_rank
from lowrank_kit.measurement.quality import logits
from lowrank_kit.measurement.sensitivity import scores_by_rank
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import Examples, Recognition

__all__ = ["SCORES", "recognise", "recognise_by_rank", "sureness"]

# How sure a network is, from its class scores (n, classes): the largest probability (Hendrycks and Gimpel 2017), the
# largest score, and the logarithm of the summed exponentials, the negative free energy (Liu et al. 2020).
SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "max softmax": lambda scores: np.exp(scores.max(axis=1) - logsumexp(scores, axis=1)),
    "max logit": lambda scores: scores.max(axis=1),
    "energy": lambda scores: logsumexp(scores, axis=1),
}


def sureness(scores: np.ndarray, score: str) -> np.ndarray:
    """How sure (n,) class scores (n, classes) are; `score` is a name of SCORES. Larger is surer.

    >>> sureness(np.array([[0.0, 0.0]]), "max softmax").round(12)
    array([0.5])
    """
    check_name(score, SCORES, name="score")
    return SCORES[score](np.asarray(scores, dtype=np.float64))


def recognise(
    model: nn.Module, examples: Examples, unknown: int, *, score: str = "max softmax", label: str = "dense"
) -> Recognition:
    """How sure a network is of the examples; those of the class `unknown` are the ones it was never trained on.

    Raises InputError for an unknown score, and unless there are examples of that class and of others.
    """
    return _recognition(logits(model, examples.x), examples, unknown, score, label)


def recognise_by_rank(
    factorisation: Factorisation,
    layer: str,
    ranks: Iterable[int],
    examples: Examples,
    unknown: int,
    *,
    score: str = "max softmax",
    method: str = "svd",
) -> dict[int, Recognition]:
    """{rank: as `recognise`} with one layer cut and the others left whole; a rank it does not have is an InputError."""
    ranks = list(ranks)
    for rank in ranks:
        check_rank(rank, factorisation.spectrum(layer, method).shape, name=f"rank of {layer}")
    found = (s for s in scores_by_rank(factorisation, layer, ranks, examples.x, method=method) if s is not None)
    return {
        rank: _recognition(scores, examples, unknown, score, f"{layer}, rank {rank}")
        for rank, scores in zip(ranks, found, strict=True)
    }


def _recognition(scores: np.ndarray, examples: Examples, unknown: int, score: str, label: str) -> Recognition:
    known = examples.y != unknown
    if known.all() or not known.any():
        raise InputError(
            f"`examples` must hold some of the unknown class {unknown} and some of others; "
            f"got {np.count_nonzero(~known)} of it and {np.count_nonzero(known)} of others."
        )
    sure = sureness(scores, score)
    return Recognition(label, score, sure[known], sure[~known], (scores.argmax(axis=1) == examples.y)[known])
