import numpy as np
import pytest

from lowrank_kit.records import Trajectory
from lowrank_kit.widgets.rows import SCALARS, SHOWN, rows_message, rows_of


def unpacked(message, buffers):
    """What a browser reads out of a message: {name: numbers}, ranks, shares kept and lists of singular values."""
    kinds = (
        ("<f8", (-1, len(SCALARS))),
        ("<f4", (message["count"], 2, message["size"])),
        ("<i4", (-1,)),
        ("<f4", (-1,)),
    )
    numbers, grids, counts, values = (
        np.frombuffer(b, kind).reshape(shape) for b, (kind, shape) in zip(buffers, kinds, strict=True)
    )
    scalars = dict(zip(message["scalars"], numbers.T, strict=True))
    return scalars, grids[:, 0], grids[:, 1], np.split(values, np.cumsum(counts)[:-1])


@pytest.fixture
def rows():
    """Two layers, of which the second has one mode more; the second row was looked at only in part."""
    nan = np.nan
    whole = {
        "step": 5, "loss": 0.5, "accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95, "tolerance": 0.1,
        "ceiling": 4, "size": 77, "ranks": np.array([[3, 2, nan], [2, 2, 1]]),
        "kept": np.array([[0.5, 0, nan], [0.25, 0, 1]]),
        "values": np.array([[[3, 2, 1], [3, 1, nan], [nan] * 3], [[2, 1, 0], [2, 1e-9, nan], [2, nan, nan]]]),
    }  # fmt: skip
    return [whole, {"step": 6, "loss": 0.25}]


def test_a_browser_reads_what_was_recorded(rows):
    scalars, ranks, kept, values = unpacked(*rows_message(rows, 0, (2, 3)))
    assert {name: row[0] for name, row in scalars.items()} == {n: rows[0][known] for n, known in SCALARS.items()}
    np.testing.assert_array_equal(ranks[0].reshape(2, 3), rows[0]["ranks"])
    np.testing.assert_array_equal(kept[0].reshape(2, 3), rows[0]["kept"].astype("f4"))
    assert [part.tolist() for part in values[:6]] == [[3, 2, 1], [3, 1], [], [2, 1], [2], [2]]


def test_what_was_not_looked_at_is_unknown(rows):
    scalars, ranks, kept, values = unpacked(*rows_message(rows, 0, (2, 3)))
    assert (scalars["step"][1], scalars["loss"][1]) == (6, 0.25)
    assert all(np.isnan(scalars[name][1]) for name in set(SCALARS) - {"step", "loss"})
    assert np.isnan(ranks[1]).all() and np.isnan(kept[1]).all()
    assert all(len(part) == 0 for part in values[6:]) and len(values) == 12


def test_values_too_small_to_be_seen_stay_behind(rows):
    rows[0]["values"] = np.array([[[1, 2 * SHOWN, SHOWN / 2]]])
    rows[0]["ranks"] = rows[0]["kept"] = np.array([[2.0]])
    *_, values = unpacked(*rows_message(rows[:1], 0, (1, 1)))
    np.testing.assert_allclose(values[0], [1, 2 * SHOWN])


def test_only_rows_from_the_start_on_travel(rows):
    message, buffers = rows_message(rows, 1, (2, 3))
    assert (message["start"], message["count"]) == (1, 1)
    assert unpacked(message, buffers)[0]["step"].tolist() == [6]
    message, buffers = rows_message(rows, 2, (2, 3))
    assert message["count"] == 0 and not any(map(len, buffers))


def test_rows_without_layers_travel_too():
    message, buffers = rows_message([{"step": 1, "loss": 2.0}], 0, (0, 0))
    assert message["size"] == 0
    assert np.frombuffer(buffers[0], "<f8")[:2].tolist() == [1, 2]


def test_a_finished_trajectory_has_the_same_rows(rows):
    arrays = {name: np.array([rows[0][name], rows[0][name]]) for name in rows[0] if name != "step"}
    trajectory = Trajectory("x", np.array([5, 9]), arrays, ("a", "b"))
    found = rows_of(trajectory)
    assert [row["step"] for row in found] == [5, 9]
    assert rows_message(found[:1], 0, (2, 3))[1] == rows_message(rows[:1], 0, (2, 3))[1]
