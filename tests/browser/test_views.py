"""Several views of one board show one state."""

import pytest

from benchmarks.browser import in_lab, write_notebook

pytestmark = pytest.mark.browser

# The board, its network, one slider of each view, and whether every view shows what is measured.
BOARDS = {
    "RankBoard": (
        "digits-mlp",
        "input[type=range][data-layer=fc1]",
        """() => [...document.querySelectorAll(".lrk")].every((board) => [2, 3].every(
             (i) => /measured|busy/.test(board.querySelectorAll(".lrk-tile")[i].dataset.kind)))""",
    ),
    "TuckerBoard": (
        "mnist-cnn",
        "input[type=range][data-layer='conv2 inputs']",
        """() => [...document.querySelectorAll(".lrk")].every((board) => [2, 3].every(
             (i) => /measured|busy/.test(board.querySelectorAll(".lrk-tile")[i].dataset.kind)))""",
    ),
    "LatentBoard": (
        "digits-mlp",
        "input[type=range][data-layer=rank]",
        """() => [...document.querySelectorAll(".lrk")].every(
             (board) => / right at this rank/.test(board.querySelector(".lrk-share").textContent))""",
    ),
    "TrainingPlayer": ("digits-mlp", "input[type=range][data-layer=tolerance]", "() => true"),
}
CELLS = [
    'from lowrank_kit import {0}\n\nboard = {0}("{1}")\nboard',
    "from IPython.display import display\n\ndisplay(board)",
]


@pytest.mark.parametrize("board", BOARDS)
def test_views_follow_each_other(browser, tmp_path, board):
    network, sliders, measured = BOARDS[board]
    notebook = write_notebook(tmp_path / "board.ipynb", *(cell.format(board, network) for cell in CELLS))
    with in_lab(browser, notebook) as page:
        page.wait_for_selector(f"{sliders} >> nth=1")
        one, other = page.locator(sliders).nth(0), page.locator(sliders).nth(1)
        for hand, follower in ((one, other), (other, one)):
            hand.focus()
            for _ in range(2):
                page.keyboard.press("PageDown")
            rank = hand.input_value()
            page.wait_for_function(
                "([slider, rank]) => slider.value === rank", arg=[follower.element_handle(), rank], timeout=20_000
            )
        page.wait_for_function(measured)
