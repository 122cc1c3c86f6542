from dataclasses import replace

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.records import Diagnosis, Estimate, Target


def diagnosis(variances, noise=0.0, **facts):
    values = np.array(variances, dtype=float)
    known = {
        "name": "made up", "n_points": 900, "n_used": 500, "n_dims": len(values), "variances": values, "noise": noise,
        "two_nn": Estimate(3.0, 2.8, 3.3), "maximum_likelihood": Estimate(2.9, 2.8, 3.0), "neighbours": 10, "flat": 3.1,
        "largest_share": 0.2, "width": len(values),
    }  # fmt: skip
    return Diagnosis(**(known | facts))


def keys(found):
    return [key for key, _ in found.reasons]


def test_directions_are_counted_by_the_variance_they_hold():
    found = diagnosis([50, 40, 5, 4, 1])
    assert np.allclose(found.energy, [0.5, 0.9, 0.95, 0.99, 1])
    assert [found.directions(f) for f in (0.5, 0.89, 0.91, 0.96, 1.0)] == [1, 2, 3, 4, 5]
    with pytest.raises(InputError, match=r"Write 0\.5 for 50 %"):
        found.directions(95)


def test_k_equal_variances_take_part_as_k():
    assert diagnosis([2, 2, 2, 2]).participation_ratio == pytest.approx(4)


def test_noise_explains_what_is_not_above_it():
    assert diagnosis([5, 4, 1, 1, 1], noise=1.0).above_noise == 2
    assert diagnosis([5, 4, 0, 0, 0], noise=0.0).above_noise == 2


def test_what_is_kept_neither_noise_explains_nor_more_than_95_percent_need():
    assert diagnosis([10, 10] + [1] * 8, noise=2).kept == 2
    assert diagnosis([100, 10, 1, 1, 1], noise=0.5).kept == 2
    assert diagnosis([1] * 8, noise=2).kept == 0


def test_the_condition_is_that_of_the_directions_kept():
    assert diagnosis([10, 8] + [1] * 8, noise=2).condition == pytest.approx(10 / 8)
    assert diagnosis([4, 2, 2, 2], noise=5).condition == pytest.approx(2)


@pytest.mark.parametrize(
    ("n_kept", "verdict", "reason"),
    [(1, "low", "few"), (5, "low", "few"), (6, "partly", "some"), (9, "partly", "some"), (10, "none", "many"),
     (0, "none", "noise")],
)  # fmt: skip
def test_a_quarter_is_low_and_a_half_is_none(n_kept, verdict, reason):
    found = diagnosis([100.0] * n_kept + [1.0] * (20 - n_kept), noise=2)
    assert (found.verdict, keys(found)[0]) == (verdict, reason)


def test_few_directions_that_hold_little_are_low_in_part_only():
    found = diagnosis([3.0, 3.0] + [1.0] * 18, noise=2)
    assert found.share == pytest.approx(0.25)
    assert found.verdict == "partly"
    assert dict(found.reasons)["faint"]["share"] == pytest.approx(0.75)


def test_curved_data_are_low_in_part_however_many_directions_they_take():
    flat = diagnosis([1.0] * 20, noise=2, two_nn=Estimate(3.0, 2.8, 3.3), flat=3.4)
    curved = replace(flat, flat=9.0)
    assert (flat.verdict, curved.verdict) == ("none", "partly")
    assert "flat" in keys(flat) and "curved" in keys(curved)
    assert dict(curved.reasons)["curved"] == {"value": 3.0, "low": 2.8, "high": 3.3, "flat": 9.0}


@pytest.mark.parametrize(("rank", "room"), [(9, True), (10, False), (30, False)])
def test_the_law_needs_a_width_above_twice_the_rank(rank, room):
    found = diagnosis([100.0] + [1.0] * 19, noise=2, target=Target("classes", rank, rank))
    assert found.has_room is room
    assert found.verdict == ("low" if room else "partly")
    assert ("room" if room else "no_room") in keys(found)
    assert replace(found, width=61).has_room
    assert diagnosis([1, 1]).has_room is None


@pytest.mark.parametrize(("ratio", "key"), [(1.0, "white"), (2.2, "white"), (2.3, "tinted")])
def test_how_far_from_white(ratio, key):
    assert key in keys(diagnosis([ratio, 1.0, 1.0], noise=0.1))


def test_cautions_are_told_where_they_hold():
    plain = diagnosis([5.0, 4.0, 3.0], noise=0.1)
    assert not {"scarce", "units", "faint"} & set(keys(plain))
    assert "units" in keys(replace(plain, largest_share=0.9))
    assert "scarce" in keys(replace(plain, n_used=4, n_dims=100))


def test_the_table_holds_every_figure_and_escapes_names():
    found = diagnosis([1000.0, 10.0, 1.0, 1.0], name="<data>", target=Target("classes", 3, 3), width=1234)
    html = found._repr_html_()
    assert "&lt;data&gt;" in html and "<data>" not in html
    for value in ("900", "500", "3.0 [2.8, 3.3]", "2.9 [2.8, 3.0], k = 10", "2 × 3 &lt; 1,234", "verdict"):
        assert value in html
    assert "classes" not in diagnosis([1.0, 1.0]).facts
    assert repr(found).startswith("Diagnosis(<data>: low; 1 of 4 directions, intrinsic dimension 3.0 [2.8, 3.3]")
