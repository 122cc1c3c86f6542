"""The map of tolerances is what its rows say."""

import json

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.studies.tolerances import ToleranceMap


def row(start, tolerance, rate, seed, accuracy, size=None, kept=None):
    return {"start": start, "tolerance": tolerance, "rate": rate, "seed": seed, "accuracy": accuracy, "size": size} | (
        {} if kept is None else {"kept": kept}
    )


@pytest.fixture
def path(tmp_path):
    rows = [row(0.5, t, r, s, 0.5 + r + 0.1 * s, 0.3, t) for t in (0.1, 0.01) for r in (0.1, 0.2) for s in (0, 1)]
    rows += [row(None, None, r, s, 0.9) for r in (0.1, 0.2) for s in (0, 1)]
    found = tmp_path / "tolerances.json"
    found.write_text(json.dumps({"recorded": "then", "test_examples": 70, "rows": rows[:-1]}), encoding="utf-8")
    return found


def test_a_cell_is_the_mean_over_its_seeds(path):
    found = ToleranceMap.read(path)
    grid = found.grid(0.5)
    assert (grid.rows, grid.columns, grid.trials) == (("dense", "0.01", "0.1"), ("0.1", "0.2"), 70)
    assert np.allclose(grid.values, [[0.9, 0.9], [0.65, 0.75], [0.65, 0.75]])
    assert grid.notes.tolist() == [["", ""], ["30%", "30%"], ["30%", "30%"]]
    assert (found.starts, found.n_seeds) == ((0.5,), 2)
    assert found.mean("accuracy", 0.5, 0.1, 0.2) == pytest.approx(0.75)


def test_what_was_kept_has_no_row_for_the_dense_network(path):
    grid = ToleranceMap.read(path).grid(0.5, "kept")
    assert grid.rows == ("0.01", "0.1") and grid.notes is None
    assert np.allclose(grid.values, [[0.01, 0.01], [0.1, 0.1]])


def test_the_kits_own_is_whole():
    found = ToleranceMap.read()
    for start in found.starts:
        for figure in ("learned", "kept"):
            assert not np.isnan(found.grid(start, figure).values).any()
    assert found.n_seeds == 5


def test_says_what_is_wrong(path, tmp_path):
    with pytest.raises(InputError, match=r"`start` must be one of 0.5; got 0.4"):
        ToleranceMap.read(path).grid(0.4)
    with pytest.raises(InputError, match="must be one of"):
        ToleranceMap.read(path).grid(0.5, "size")
    for text in ("", "[]", "{}", '{"rows": []}', '{"rows": [{"start": 1}]}'):
        (tmp_path / "other.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="must be a file that"):
            ToleranceMap.read(tmp_path / "other.json")
