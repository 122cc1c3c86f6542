"""Boards over ranks under the hand: from key press to pixels, release to measured number, visit to picture."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psutil
from playwright.sync_api import Browser, Page

from benchmarks.browser import chromium, in_lab, in_voila, write_notebook
from benchmarks.figures import Figure
from benchmarks.presses import press_figures

BOARD = 'from lowrank_kit import RankBoard\n\nRankBoard("mnist-cnn")'
EMPTY = (
    "import anywidget\n\nclass Empty(anywidget.AnyWidget):\n"
    """    _esm = "export default { render({ el }) { el.className = 'empty-board' } }"\n\nEmpty()"""
)
PAIRS = 'from lowrank_kit import TuckerBoard\n\nTuckerBoard("mnist-cnn")'
SLIDER = 'input[type=range][data-layer="fc1"]'
PAIRS_SLIDER = 'input[type=range][data-layer="conv3 outputs"]'
RELEASES, VISITS = 20, 5

# From a change of the slider to the first accuracy that is measured, and to the one on all test images.
WATCH_RELEASES = """(selector) => {
  const slider = document.querySelector(selector), badge = document.querySelectorAll(".lrk-tile .lrk-badge")[2];
  const seen = window.lrkReleases = [];
  slider.addEventListener("change", () => {
    const entry = { start: performance.now() };
    seen.push(entry);
    const look = () => {
      if (badge.textContent.startsWith("measured")) entry.first ??= performance.now() - entry.start;
      if (badge.textContent === "measured") entry.all = performance.now() - entry.start;
      if (!entry.all) requestAnimationFrame(look);
    };
    requestAnimationFrame(() => requestAnimationFrame(look));
  });
}"""


def run() -> list[Figure]:
    with TemporaryDirectory() as folder, chromium() as browser:
        board = write_notebook(Path(folder) / "board.ipynb", BOARD)
        pairs = write_notebook(Path(folder) / "pairs.ipynb", PAIRS)
        empty = write_notebook(Path(folder) / "empty.ipynb", EMPTY)
        return [
            *_first_pictures(browser, board, empty),
            *_under_the_hand("Voila", lambda: in_voila(browser, board), SLIDER),
            *_under_the_hand("JupyterLab", lambda: in_lab(browser, board), SLIDER),
            *_under_the_hand("Tucker board", lambda: in_voila(browser, pairs), PAIRS_SLIDER),
        ]


def _first_pictures(browser: Browser, board: Path, empty: Path) -> list[Figure]:
    """From visit to picture on a cold kernel, beside a page with an empty anywidget, in turn."""
    pairs = [(_visit(browser, board, ".lrk-tile"), _visit(browser, empty, ".empty-board")) for _ in range(VISITS)]
    ours, theirs = (median(times) for times in zip(*pairs, strict=True))
    return [Figure(f"first board, after an empty anywidget page ({theirs:.2g} s)", ours - theirs, "s", 1.5)]


def _visit(browser: Browser, notebook: Path, selector: str) -> float:
    with in_voila(browser, notebook, preheat=False) as page:
        start = page.evaluate("performance.timeOrigin") / 1e3
        page.wait_for_selector(selector, state="attached")
        return time.time() - start


def _under_the_hand(place: str, opened: Callable[[], AbstractContextManager[Page]], slider: str) -> list[Figure]:
    with opened() as page:
        page.wait_for_selector(".lrk-tile:is([data-kind=measured], [data-kind=busy]) >> nth=1")
        presses, releases = press_figures(place, page, slider), _releases(page, slider)
        memory = _kernel_memory(page.lrk_pid)
    return [
        *presses,
        Figure(f"{place}: release to first measured accuracy", median(e["first"] for e in releases), "ms", 250),
        Figure(f"{place}: release to the whole test set", median(e["all"] for e in releases), "ms", 600),
        Figure(f"{place}: kernel behind one board", memory, "MB", 600),
    ]


def _releases(page: Page, slider: str) -> list[dict]:
    page.evaluate(WATCH_RELEASES, slider)
    page.focus(slider)
    for _ in range(RELEASES):
        page.keyboard.press("ArrowLeft")
        page.wait_for_function("window.lrkReleases.at(-1)?.all")
        page.wait_for_timeout(1700)  # until the latency is measured too
    return page.evaluate("window.lrkReleases")


def _kernel_memory(server: int) -> float:
    """Megabytes of the largest kernel below a server."""
    kernels = [
        p for p in psutil.Process(server).children(recursive=True) if "ipykernel_launcher" in " ".join(p.cmdline())
    ]
    return max(kernel.memory_info().rss for kernel in kernels) / 1e6
