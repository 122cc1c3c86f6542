import pytest

from lowrank_kit.plots import picture
from lowrank_kit.plots.ranks import rank_axis


@pytest.mark.parametrize(("largest", "ticks"), [(5, [1, 2, 4]), (32, [1, 2, 4, 8, 16, 32]), (64, [1, 4, 16, 64])])
def test_ticks_are_powers_of_two(largest, ticks):
    ax = picture().subplots()
    rank_axis(ax, largest)
    assert ax.get_xscale() == "log"
    assert ax.get_xticks().tolist() == ticks
    assert ax.get_xticks(minor=True).size == 0
