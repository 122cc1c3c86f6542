"""The latent board under the hand, in Voila: from key press to pixels, from another layer to all that is cut of it."""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from playwright.sync_api import Page

from benchmarks.browser import chromium, in_voila, write_notebook
from benchmarks.figures import Figure
from benchmarks.presses import press_figures

BOARD = 'from lowrank_kit import LatentBoard\n\nLatentBoard("mnist-cnn")'
SLIDER = "input[type=range][data-layer=rank]"
# A layer that is chosen is shown whole, which is measured last.
MEASURED = "() => document.querySelector('.lrk-share').textContent.includes(' right at this rank')"


def run() -> list[Figure]:
    with TemporaryDirectory() as folder, chromium() as browser:
        notebook = write_notebook(Path(folder) / "board.ipynb", BOARD)
        with in_voila(browser, notebook) as page:
            page.wait_for_selector(SLIDER)
            page.wait_for_function(MEASURED)
            page.wait_for_timeout(3000)  # until the picture for pages without a kernel is drawn
            times = [_measurement(page, layer) for layer in ("conv2", "conv3")]
            page.get_by_role("button", name="fc1").click()
            return [
                *press_figures("latent board", page, SLIDER),
                Figure("latent board: a layer of mnist-cnn at each of its ranks, of two", median(times), "s", 4),
            ]


def _measurement(page: Page, layer: str) -> float:
    start = time.perf_counter()
    page.get_by_role("button", name=layer).click()
    page.wait_for_function(MEASURED)
    return time.perf_counter() - start
