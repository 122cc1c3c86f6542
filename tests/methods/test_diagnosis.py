"""Clouds whose dimensions are known, and what is said of them."""

import numpy as np
import pytest
import torch

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import LANGUAGES
from lowrank_kit.methods.diagnosis import diagnose
from lowrank_kit.methods.diagnosis_text import as_text, sentence
from lowrank_kit.records import Data, Estimate, Examples, Target

N = 800


@pytest.fixture
def turned(rng):
    """The same points in a space of more dimensions, turned at random."""
    return lambda points, into: points @ np.linalg.qr(rng.standard_normal((into, points.shape[1])))[0].T


@pytest.fixture
def low_rank(rng, turned):
    return turned(rng.standard_normal((N, 5)), 50) + 0.1 * rng.standard_normal((N, 50))


def keys(found):
    return [key for key, _ in found.reasons]


def test_low_rank_in_noise_is_low(low_rank):
    found = diagnose(low_rank, name="five")
    assert (found.verdict, found.kept, found.above_noise) == ("low", 5, 5)
    assert keys(found) == ["few", "flat", "white"]
    assert (found.name, found.n_points, found.n_used, found.n_dims) == ("five", N, N, 50)
    assert found.target is None


@pytest.mark.parametrize("n_dims", [20, 50, 400])
@pytest.mark.parametrize("kind", ["standard_normal", "random"])
def test_isotropic_noise_has_no_structure(rng, kind, n_dims):
    found = diagnose(getattr(rng, kind)((N, n_dims)))
    assert (found.verdict, found.kept) == ("none", 0)
    assert keys(found)[:2] == ["noise", "flat"]


@pytest.mark.parametrize("n", [50, 300])
def test_few_points_of_noise_in_many_dimensions_have_no_structure(rng, n):
    """That they fill no more directions than there are points says nothing of them."""
    found = diagnose(rng.standard_normal((n, 1000)))
    assert found.verdict == "none"
    assert len(found.variances) == n - 1
    assert "scarce" in keys(found)


def test_a_flat_plane_is_low_and_not_curved(rng, turned):
    found = diagnose(turned(rng.standard_normal((N, 2)), 30))
    assert (found.verdict, found.kept, found.is_curved) == ("low", 2, False)
    assert found.two_nn.low < 2 < found.two_nn.high


def test_a_swiss_roll_is_low_and_curved(rng, turned):
    angle, height = 1.5 * np.pi * (1 + 2 * rng.random(N)), 20 * rng.random(N)
    found = diagnose(turned(np.stack([angle * np.cos(angle), height, angle * np.sin(angle)], axis=1), 50))
    assert (found.verdict, found.kept) == ("low", 3)
    assert keys(found)[:2] == ["few", "curved"]
    assert found.two_nn.value == pytest.approx(2, rel=0.1)
    assert found.flat == pytest.approx(3, rel=0.1)


def test_a_circle_is_curved(rng, turned):
    angle = 2 * np.pi * rng.random(N)
    found = diagnose(turned(np.stack([np.cos(angle), np.sin(angle)], axis=1), 50))
    assert (found.kept, found.is_curved) == (2, True)


def test_a_curve_through_all_dimensions_has_structure_that_no_linear_method_finds(rng):
    angle, waves = 2 * np.pi * rng.random((N, 1)), np.arange(1, 26)
    found = diagnose(np.hstack([np.cos(waves * angle), np.sin(waves * angle)]))
    assert found.verdict == "partly"
    assert keys(found)[:2] == ["noise", "curved"]
    assert found.directions(0.95) > 40
    assert found.two_nn.value == pytest.approx(1, rel=0.1)


def test_neither_scale_nor_shift_nor_direction_matters(rng, low_rank, turned):
    plain, moved = diagnose(low_rank), diagnose(1e3 * turned(low_rank, 50) + 7)
    assert (plain.verdict, keys(plain)) == (moved.verdict, keys(moved))
    for name in ("kept", "above_noise"):
        assert getattr(plain, name) == getattr(moved, name)
    for name in ("two_nn", "maximum_likelihood", "flat", "condition", "participation_ratio"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name), rel=1e-4)


def test_coordinates_that_never_change_tell_nothing(low_rank):
    plain, padded = diagnose(low_rank), diagnose(np.pad(low_rank, ((0, 0), (0, 30)), constant_values=4))
    assert (padded.n_dims, len(padded.variances)) == (80, 50)
    np.testing.assert_allclose(padded.variances, plain.variances)
    assert (padded.noise, padded.two_nn) == (plain.noise, plain.two_nn)


def test_one_large_coordinate_is_told_of(rng):
    found = diagnose(rng.standard_normal((N, 10)) * np.r_[1e6, np.ones(9)])
    assert "units" in keys(found)
    assert found.largest_share > 0.99


def test_of_many_points_some_are_drawn_by_the_seed(low_rank):
    first, again, other = (diagnose(low_rank, n=200, seed=seed) for seed in (1, 1, 2))
    assert (first.n_used, first.n_points, first.seed) == (200, N, 1)
    assert (first.variances == again.variances).all()
    assert first.flat == again.flat
    assert (first.variances != other.variances).any()


@pytest.mark.parametrize(
    ("y", "target"),
    [
        (np.arange(N) % 3, ("classes", 3, 3)),
        (np.arange(N) % 2 > 0, ("classes", 2, 2)),
        (np.array(["cat", "dog"] * (N // 2)), ("classes", 2, 2)),
        (np.array(["cat", None] * (N // 2), dtype=object), ("classes", 2, 2)),
        (np.arange(N) % 100, ("classes", 100, 50)),
        (np.linspace(0, 1, N), ("outputs", 1, 1)),
        (np.eye(4)[np.arange(N) % 4], ("outputs", 4, 4)),
        (np.outer(np.arange(N), [1, 2, 3]), ("outputs", 3, 1)),
    ],
    ids=["classes", "booleans", "words", "objects", "more classes than inputs", "quantity", "one-hot", "one direction"],
)
def test_the_rank_of_the_target(low_rank, y, target):
    found = diagnose(low_rank, y)
    assert found.target == Target(*target)
    assert found.width == 50
    assert found.has_room is (2 * target[2] < 50)
    assert diagnose(low_rank, y, width=1000).has_room


def test_examples_and_data_of_the_kit(low_rank):
    x, y = low_rank.reshape(N, 1, 5, 10), np.arange(N) % 4
    parts = [Examples(x[rows], y[rows]) for rows in (slice(0, 200), slice(200, 300), slice(300, None))]
    whole, without = Data("halves", parts[0], parts[1], parts[2]), Data("halves", parts[0], parts[1])
    assert [diagnose(d).n_points for d in (parts[0], whole, without)] == [200, 500, 200]
    assert [diagnose(d).name for d in (parts[0], whole)] == ["data", "halves"]
    assert diagnose(whole, name="mine").name == "mine"
    assert diagnose(whole).target == Target("classes", 4, 4)


def test_lists_tensors_and_whole_numbers_will_do(low_rank):
    plain = diagnose(low_rank)
    assert diagnose(torch.tensor(low_rank)).kept == diagnose(low_rank.tolist()).kept == plain.kept
    images = np.clip(128 + 30 * low_rank, 0, 255).astype(np.uint8)
    assert diagnose(images).kept == plain.kept


def nan_at(x):
    x = x.copy()
    x[3, 4] = np.nan
    return x


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: {"x": x[:, 0]}, r"one row of numbers a point, \(points, ...\); got shape \(800,\)"),
        (lambda x: {"x": x[:0]}, r"got shape \(0, 50\)"),
        (lambda x: {"x": nan_at(x)}, "`x` must hold finite numbers only; 1 of its 40000"),
        (lambda x: {"x": x.astype(str)}, "`x` must hold real numbers; got <U"),
        (lambda x: {"x": x * 1j}, "`x` must hold real numbers; got complex128"),
        (lambda x: {"x": np.ones_like(x)}, "must change from point to point; all 800 are the same"),
        (lambda x: {"x": np.repeat(x[:3], 50, axis=0)}, "at least 11 different points; got 3"),
        (lambda x: {"x": x, "n": 10}, "`n` must be a whole number of points above 10; got 10"),
        (lambda x: {"x": x, "n": 1e3}, "`n` must be a whole number of points"),
        (lambda x: {"x": x, "width": 0}, "`width` must be a whole number of units, at least 1; got 0"),
        (lambda x: {"x": x, "y": np.zeros(N, dtype=int)}, "at least two classes; got one"),
        (lambda x: {"x": x, "y": np.arange(9)}, r"one target a point, .* got \(9,\) for 800"),
        (lambda x: {"x": x, "y": np.zeros((N, 2, 2))}, "one target a point"),
        (lambda x: {"x": x, "y": 3}, "one target a point"),
        (lambda x: {"x": x, "y": np.zeros((N, 2))}, "`y` must not be zero throughout"),
        (lambda x: {"x": x, "y": np.full(N, np.inf)}, "`y` must hold finite numbers only"),
        (lambda x: {"x": x, "y": np.full((N, 2), "a")}, "`y` must hold numbers where it has several columns"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_at_gets_one_sentence(low_rank, change, sentence):
    with pytest.raises(InputError, match=sentence):
        diagnose(**change(low_rank))


def test_digits(digits):
    found = diagnose(digits[1])
    assert (found.verdict, found.n_dims, found.n_used) == ("partly", 64, 1000)
    assert keys(found) == ["some", "curved", "room", "tinted"]
    assert (found.kept, found.directions(0.95)) == (20, 28)
    assert found.two_nn.value == pytest.approx(8.2, abs=0.1)


def test_mnist(mnist):
    found = diagnose(mnist[1])
    assert (found.verdict, found.n_dims, found.n_points, found.n_used) == ("low", 784, 3500, 2000)
    assert keys(found) == ["few", "curved", "room", "tinted"]
    assert found.kept == pytest.approx(140, abs=3)
    assert found.two_nn.value == pytest.approx(12.1, abs=0.3)
    assert found.flat > 30


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_has_its_words(rng, low_rank, language):
    """In both languages, with no place left unfilled."""
    y = np.arange(N) % 40
    clouds = [
        (low_rank, None), (low_rank, y), (low_rank, y % 3), (rng.standard_normal((N, 30)), y % 2),
        (rng.standard_normal((N, 20)) * np.r_[1e3, np.ones(19)], None), (rng.standard_normal((50, 400)), None),
        (1.5 * low_rank + rng.standard_normal((N, 50)), None), (low_rank * np.r_[9, np.ones(49)], None),
    ]  # fmt: skip
    found = [diagnose(x, t) for x, t in clouds]
    for each in found:
        assert not set("{}") & set(sentence(each, language))
    assert {key for each in found for key in keys(each)} >= {
        "few", "noise", "flat", "room", "no_room", "white", "tinted", "faint", "scarce", "units"
    }  # fmt: skip


def test_the_sentence_says_the_verdict_and_why(low_rank):
    found = diagnose(low_rank, np.arange(N) % 3, name="made up")
    english, japanese = sentence(found, "en"), sentence(found, "ja")
    assert english.startswith("Yes: made up has few dimensions, and low rank can use them. 5 of 50 directions are")
    assert "2 × 3 = 6 is below the width 50" in english
    assert "2 × 3 = 6 は幅50より小さく" in japanese
    assert len(english.split(". ")) == 1 + len(found.reasons)


def test_the_table_is_in_line_in_both_languages(low_rank):
    for language, label in (("en", "participation ratio"), ("ja", "参加比")):
        lines = as_text(diagnose(low_rank), language).splitlines()
        table = lines[: lines.index("")]
        assert any(line.startswith(label) for line in table)
        assert (
            len({sum(1 + (ord(c) > 0x2E7F) for c in line[: line.rindex("  ")]) for line in table if ", k" not in line})
            == 1
        )


def test_estimates_are_written_with_their_interval():
    assert str(Estimate(12.14, 11.4, 12.94)) == "12.1 [11.4, 12.9]"
