"""An exported notebook shows a board's last picture with the network off."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from benchmarks.browser import write_notebook

pytestmark = pytest.mark.browser

# The cells, and what the picture's description says.
BOARDS = {
    "rank": (
        'from lowrank_kit import RankBoard\n\nboard = RankBoard("digits-mlp")\nboard',
        'board.set_rank("fc1", 9)\nboard.wait()',
        "fc1 9",
    ),
    "tucker": (
        'from lowrank_kit import TuckerBoard\n\nboard = TuckerBoard("mnist-cnn")\nboard',
        'board.set_ranks("conv2", 20, 12)\nboard.wait()',
        "conv2 20 x 12",
    ),
    "latent": (
        'from lowrank_kit import LatentBoard\n\nboard = LatentBoard("digits-mlp")\nboard',
        'board.set_layer("head")\nboard.set_rank(4)\nboard.wait()',
        "head",
    ),
    "latency": (
        f"import sys\n\nsys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from lowrank_kit.widgets.latency_board import LatencyBoard\nfrom tests.known_times import CPU, known_table\n\n"
        'board = LatencyBoard(layer="layer3.1.conv2", tables=[known_table(CPU)])\nboard',
        "board.set_rank(40)\nboard.wait()",
        "layer3.1.conv2: rank 40",
    ),
    "player": (
        'from lowrank_kit import TrainingPlayer\n\nplayer = TrainingPlayer("digits-mlp", epochs=1)\nplayer',
        "player.start()\nplayer.wait()",
        "fc2",
    ),
}

# Two players on one page.
CELLS = (
    "from lowrank_kit import DynamicsPlayer, LivePlayer\n\nplayer = DynamicsPlayer(width=12, rank=2, steps=50)\nplayer",
    "player.set(width=10)\nplayer.wait()\n\nlive = LivePlayer(steps=5)\nlive",
    "live.start()\nlive.wait()",
)
DESCRIBED = ("3 layers of width 10 learn a target of rank 2", "digits-mlp and its deep linear twin at step 5:")


@pytest.fixture(params=BOARDS)
def board(request):
    return BOARDS[request.param]


def run(path, cells, widget_state):
    notebook = nbformat.read(write_notebook(path, *cells), as_version=4)
    NotebookClient(notebook, store_widget_state=widget_state).execute()
    return notebook


@pytest.mark.parametrize("widget_state", [False, True])
def test_the_last_picture_is_in_the_page(browser, tmp_path, board, widget_state):
    *cells, described = board
    notebook = run(tmp_path / "board.ipynb", cells, widget_state)
    page_file = tmp_path / "board.html"
    page_file.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(page_file.as_uri(), wait_until="domcontentloaded")
    picture = page.locator(".lrk-still img")
    picture.wait_for()
    assert picture.evaluate("(image) => image.naturalWidth") > 600
    assert described in picture.get_attribute("alt")
    context.close()


def test_a_stored_notebook_holds_no_large_arrays(tmp_path, board):
    notebook = run(tmp_path / "board.ipynb", board[:2], widget_state=True)
    states = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    assert all("buffers" not in state for state in states)


def test_players_of_dynamics_leave_their_pictures_too(browser, tmp_path):
    notebook = run(tmp_path / "players.ipynb", CELLS, widget_state=True)
    states = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    assert all("buffers" not in state for state in states)
    page_file = tmp_path / "players.html"
    page_file.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(page_file.as_uri(), wait_until="domcontentloaded")
    page.wait_for_function("() => document.querySelectorAll('.lrk-still img').length === 2")
    pictures = page.locator(".lrk-still img")
    for place, described in enumerate(DESCRIBED):
        assert pictures.nth(place).get_attribute("alt").startswith(described)
        assert pictures.nth(place).evaluate("(image) => image.naturalWidth") > 600
    context.close()
