"""The training player under the hand, in Voila: from key press on its time slider to pixels, and from row to pixels."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from playwright.sync_api import Page

from benchmarks.browser import chromium, in_voila, write_notebook
from benchmarks.figures import Figure
from benchmarks.presses import press_figures

PLAYER = 'from lowrank_kit import TrainingPlayer\n\nTrainingPlayer("mnist-cnn", epochs=10)'
SLIDER = "input[type=range][data-layer=time]"
FINISHED = "() => document.querySelector('.lrk-status').textContent === 'finished'"
# Times of every paint while the training goes on; the last ones draw all its rows.
WATCH = """() => {
  const board = document.querySelector(".lrk"), seen = window.lrkPaints = [];
  const painted = new MutationObserver(() => seen.push(Number(board.dataset.paint)));
  painted.observe(board, { attributeFilter: ["data-paint"] });
}"""


def run() -> list[Figure]:
    with TemporaryDirectory() as folder, chromium() as browser:
        notebook = write_notebook(Path(folder) / "player.ipynb", PLAYER)
        with in_voila(browser, notebook) as page:
            page.wait_for_selector(SLIDER)
            paints = _training(page)
            page.wait_for_timeout(3000)  # until the picture for pages without a kernel is drawn
            return [
                Figure("training player: draw while it trains, 95th percentile", paints, "ms", 8),
                *press_figures("training player", page, SLIDER),
            ]


def _training(page: Page) -> float:
    page.evaluate(WATCH)
    page.get_by_role("button", name="Start training").click()
    page.wait_for_function(FINISHED, timeout=120_000)
    return float(np.quantile(page.evaluate("window.lrkPaints"), 0.95))
