import os

import pytest

from benchmarks.browser import chromium, chromium_path
from lowrank_kit.widgets.assets import PARTS, style

LAYOUT = """() => [...document.querySelectorAll(".lrk, .lrk *")].map((part) => {
  const { x, y, width, height } = part.getBoundingClientRect(), look = getComputedStyle(part);
  return [part.className.baseVal ?? part.className, x, y, width, height, look.fontSize, look.strokeWidth, look.opacity];
})"""


@pytest.fixture(scope="session")
def browser():
    if chromium_path() is None and not os.environ.get("CI"):
        pytest.skip("needs Chromium")
    with chromium() as browser:
        yield browser


@pytest.fixture
def moved_by_others():
    """What looks different on a page once the style sheet of another board stands behind its own, or those of all."""

    def moved(page):
        before, found = page.evaluate(LAYOUT), []
        for boards in (*((board,) for board in PARTS), tuple(PARTS)):
            sheets = [page.add_style_tag(content=style(board)) for board in boards]
            after = page.evaluate(LAYOUT)
            for sheet in sheets:
                sheet.evaluate("(sheet) => sheet.remove()")
            found += [(boards, *pair) for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
        return found

    return moved
