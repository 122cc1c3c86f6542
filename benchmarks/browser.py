"""Boards in a real browser: headless Chromium on pages that Voila or JupyterLab serve on this machine."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from lowrank_kit.server import board_page, environment, free_port, notebook_lab, running

__all__ = ["chromium", "in_lab", "in_voila", "write_notebook"]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 40_000


def chromium_path() -> str | None:
    """Debian's Chromium, or the one that LOWRANK_KIT_CHROMIUM names."""
    return os.environ.get("LOWRANK_KIT_CHROMIUM") or shutil.which("chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def write_notebook(path: Path, *cells: str) -> Path:
    """A notebook of code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(notebook, path)
    return path


@contextmanager
def in_voila(browser: Browser, notebook: Path, *, preheat: bool = True, language: str = "en") -> Iterator[Page]:
    """A page on which the notebook's outputs are shown; `page.lrk_pid` is the server's process."""
    server = board_page(notebook, free_port(), preheat=preheat)
    with running(server, environment(language)) as process, _page(browser) as page:
        page.lrk_pid = process.pid
        page.goto(server.url)
        yield page


@contextmanager
def in_lab(browser: Browser, notebook: Path) -> Iterator[Page]:
    """The notebook in JupyterLab, its cells run one after another."""
    server = notebook_lab(notebook.parent, free_port())
    with running(server, environment(None)) as process, _page(browser) as page:
        page.lrk_pid = process.pid
        # On a busy machine JupyterLab now and then asks something of its own, over the menus.
        question = page.locator("dialog.jp-Dialog")
        page.add_locator_handler(question, lambda _: page.keyboard.press("Escape"))
        page.goto(server.url.replace("/lab?", f"/lab/tree/{notebook.name}?reset&"))
        page.wait_for_selector(".jp-CodeCell")
        page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        _run_all(page)
        yield page


def _run_all(page: Page) -> None:
    """A kernel that has only just connected now and then drops what it is asked; then it is asked again."""
    begun = page.locator(".jp-InputPrompt").filter(has_text=re.compile(r"[\d*]")).first
    for _ in range(4):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        with suppress(TimeoutError):
            begun.wait_for(timeout=5000)
            return


@contextmanager
def _page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1360, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    try:
        yield page
    finally:
        page.close()
