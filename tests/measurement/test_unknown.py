"""Sureness by its formulas; networks that know and do not know."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.quality import logits
from lowrank_kit.measurement.unknown import SCORES, recognise, recognise_by_rank, sureness
from lowrank_kit.models.surgery import Factorisation, compress
from lowrank_kit.records import Examples


def test_scores_are_those_of_the_literature(rng):
    scores = 5 * rng.standard_normal((20, 4))
    assert np.allclose(sureness(scores, "max softmax"), softmax(scores, axis=1).max(axis=1))
    assert np.allclose(sureness(scores, "max logit"), scores.max(axis=1))
    assert np.allclose(sureness(scores, "energy"), logsumexp(scores, axis=1))


def test_large_scores_do_not_overflow():
    huge = np.array([[1000.0, 0.0], [-1000.0, -1000.0]], dtype=np.float32)
    assert sureness(huge, "max softmax").tolist() == pytest.approx([1, 0.5])


def test_unknown_scores_are_refused():
    with pytest.raises(InputError, match="'max softmax', 'max logit', 'energy'"):
        sureness(np.zeros((1, 2)), "entropy")


@pytest.mark.parametrize("score", SCORES)
def test_known_and_unknown_are_parted_by_their_labels(mlp, vectors, score):
    found = recognise(mlp, vectors, 3, score=score)
    scores = logits(mlp, vectors.x)
    known = vectors.y != 3
    assert np.allclose(found.known, sureness(scores[known], score))
    assert np.allclose(found.unknown, sureness(scores[~known], score))
    assert found.accuracy == (scores.argmax(axis=1) == vectors.y)[known].mean()


@pytest.mark.parametrize("unknown", [0, 1])
def test_there_must_be_some_of_both(mlp, vectors, unknown):
    only = Examples(vectors.x, np.zeros(len(vectors), dtype=int))
    with pytest.raises(InputError, match=f"some of the unknown class {unknown} and some of others"):
        recognise(mlp, only, unknown)


@pytest.mark.parametrize("method", ["svd", "aware"])
def test_by_rank_is_that_of_the_cut_network(mlp, vectors, by_hand, method):
    factorisation = Factorisation(mlp, vectors)
    found = recognise_by_rank(factorisation, "2", [2, 5], vectors, 3, method=method)
    assert list(found) == [2, 5]
    if method == "svd":
        cut = compress(mlp, by_hand(mlp, {"2": 2}), break_even_guard=False)
        assert np.allclose(found[2].known, recognise(cut, vectors, 3).known, atol=1e-5)
    assert found[2].label == "2, rank 2"
    assert not np.allclose(found[2].known, found[5].known)


def test_only_ranks_of_the_layer_are_known(mlp, vectors):
    with pytest.raises(InputError, match="rank of 2` must be a whole number between 1 and"):
        recognise_by_rank(Factorisation(mlp), "2", [2, 11], vectors, 3)


def test_a_network_that_never_saw_a_nine_notices_it():
    from lowrank_kit.models.zoo import load

    model, data = load("mnist-cnn", weights="without-9")
    found = recognise(model, data.validation, 9)
    assert found.accuracy > 0.97 and found.auroc > 0.95 and found.rejected > 0.85
