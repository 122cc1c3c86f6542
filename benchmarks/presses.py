"""Keys on a board's slider: the time in its handlers, and whether the next frame shows the new rank."""

import numpy as np
from playwright.sync_api import Page

from benchmarks.figures import Figure

__all__ = ["press_figures"]

PRESSES = 100

# The callback asked for after the board's own runs behind it in the same frame.
WATCH = """(selector) => {
  const board = document.querySelector(".lrk"), slider = document.querySelector(selector);
  const seen = window.lrkSeen = [];
  const begin = () => seen.push({ start: performance.now(), rank: slider.value });
  slider.addEventListener("input", begin, { capture: true });
  document.addEventListener("input", () => {
    const entry = seen.at(-1);
    entry.handler = performance.now() - entry.start;
    requestAnimationFrame(() => {
      entry.painted = slider.getAttribute("aria-valuetext").includes(" " + entry.rank + " ");
      entry.draw = Number(board.dataset.paint);
    });
  });
}"""


def press_figures(place: str, page: Page, slider: str) -> list[Figure]:
    """Press a hundred keys on the slider that the selector finds."""
    page.evaluate(WATCH, slider)
    page.focus(slider)
    for press in range(PRESSES):
        page.keyboard.press("ArrowLeft" if press < PRESSES * 0.6 else "ArrowRight")
        page.wait_for_timeout(20)
    page.wait_for_timeout(200)
    seen = page.evaluate("window.lrkSeen")
    draws = [entry["handler"] + entry["draw"] for entry in seen]
    return [
        Figure(f"{place}: handler and draw, 95th percentile", float(np.quantile(draws, 0.95)), "ms", 4),
        Figure(
            f"{place}: of {PRESSES} key presses in the next frame", sum(e["painted"] for e in seen), "", 95, floor=True
        ),
    ]
