"""Several views of one board show one state."""

import pytest

from benchmarks.browser import in_lab, write_notebook

pytestmark = pytest.mark.browser

SLIDERS = 'input[type=range][data-layer="fc1"]'
CELLS = [
    'from lowrank_kit import RankBoard\n\nboard = RankBoard("digits-mlp")\nboard',
    "from IPython.display import display\n\ndisplay(board)",
]


def test_views_follow_each_other(browser, tmp_path):
    with in_lab(browser, write_notebook(tmp_path / "board.ipynb", *CELLS)) as page:
        page.wait_for_selector(f"{SLIDERS} >> nth=1")
        one, other = page.locator(SLIDERS).nth(0), page.locator(SLIDERS).nth(1)
        for hand, follower in ((one, other), (other, one)):
            hand.focus()
            for _ in range(2):
                page.keyboard.press("PageDown")
            rank = hand.input_value()
            page.wait_for_function(
                "([slider, rank]) => slider.value === rank", arg=[follower.element_handle(), rank], timeout=20_000
            )
        page.wait_for_function(
            """() => [...document.querySelectorAll(".lrk")].every((board) => [2, 3].every(
                 (i) => /measured|busy/.test(board.querySelectorAll(".lrk-tile")[i].dataset.kind)))"""
        )
