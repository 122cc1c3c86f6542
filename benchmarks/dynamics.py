"""The dynamics player under the hand, in Voila, beside the usual notebook way; and the twin beside the wide network."""

import io
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from playwright.sync_api import Page

from benchmarks.browser import chromium, in_voila, write_notebook
from benchmarks.figures import Figure
from benchmarks.presses import press_figures
from lowrank_kit.maths.dynamics import Objective, Rule, descend, start, twin

PLAYER = "from lowrank_kit import DynamicsPlayer\n\nDynamicsPlayer()"
RATE, TIME = (f"input[type=range][data-layer={name}]" for name in ("learning_rate", "time"))
CHANGES, PEERS, TWINS = 50, 10, 5
# From a change of a slider to the frame that shows what was computed for it.
WATCH = """(selector) => {
  const board = document.querySelector(".lrk"), seen = window.lrkChanges = [];
  const begin = () => seen.push({ start: performance.now() });
  document.querySelector(selector).addEventListener("input", begin, { capture: true });
  new MutationObserver(() => {
    const entry = seen.at(-1);
    if (entry && !entry.painted) requestAnimationFrame(() => { entry.painted = performance.now() - entry.start; });
  }).observe(board, { attributeFilter: ["data-run"] });
}"""


def run() -> list[Figure]:
    with TemporaryDirectory() as folder, chromium() as browser:
        notebook = write_notebook(Path(folder) / "player.ipynb", PLAYER)
        with in_voila(browser, notebook) as page:
            page.wait_for_selector(".lrk[data-run]")
            page.wait_for_timeout(3000)  # until the picture for pages without a kernel is drawn
            painted = _changes(page)
            presses = press_figures("dynamics player", page, TIME)
    usual = median(_usual_way() for _ in range(PEERS))
    return [
        Figure("dynamics player: change to picture, 95th percentile", float(np.quantile(painted, 0.95)), "ms", 150),
        *presses,
        Figure("the usual way over ours: change to picture", usual / median(painted), "x", 3, floor=True),
        Figure("the usual way over ours: another step", usual / presses[0].value, "x", 20, floor=True),
        *_twin_figures(),
    ]


def _changes(page: Page) -> list[float]:
    """Drag the learning rate to and fro, each change once the one before is painted."""
    page.evaluate(WATCH, RATE)
    box = page.locator(RATE).bounding_box()
    places = [box["x"] + box["width"] * share for share in (0.25, 0.4, 0.55, 0.4)]
    page.mouse.move(places[-1], box["y"] + box["height"] / 2)
    page.mouse.down()
    for change in range(CHANGES):
        before = page.evaluate("window.lrkChanges.length")
        page.mouse.move(places[change % len(places)], box["y"] + box["height"] / 2)
        page.wait_for_function("(n) => window.lrkChanges.length > n && window.lrkChanges.at(-1).painted", arg=before)
        page.wait_for_timeout(50)
    page.mouse.up()
    return [entry["painted"] for entry in page.evaluate("window.lrkChanges")]


def _usual_way(d: int = 30, r: int = 3, depth: int = 3, steps: int = 400) -> float:
    """Milliseconds to train anew with autograd, an SVD of every layer at every step, and draw; nothing of a browser."""
    begun = perf_counter()
    generator = torch.Generator().manual_seed(0)
    U, S, Vh = torch.linalg.svd(torch.randn(d, d, dtype=torch.float64, generator=generator))
    target = (U[:, :r] * S[:r]) @ Vh[:r]
    weights = [torch.from_numpy(w).requires_grad_() for w in start("orthogonal", [d] * (depth + 1), 0.5)]
    optimiser, values = torch.optim.SGD(weights, lr=2e-3), []
    for _ in range(steps):
        optimiser.zero_grad()
        (torch.linalg.multi_dot(weights[::-1]) - target).square().sum().mul(0.5).backward()
        optimiser.step()
        values.append([torch.linalg.svdvals(w.detach()).numpy() for w in weights])
    figure = Canvas(figsize=(9, 3))
    for layer, ax in enumerate(figure.subplots(1, depth)):
        ax.plot(np.array(values)[:, layer])
    FigureCanvasAgg(figure).print_png(io.BytesIO())
    return 1e3 * (perf_counter() - begun)


def _twin_figures(d: int = 200, r: int = 5, error: float = 1e-3) -> Iterator[Figure]:
    """Both trained to the same relative error of the end-to-end map, the making of the twin included."""
    target = _target(d, r)
    weights, objective, rule = start("orthogonal", [d] * 4, 0.05), Objective(target), Rule(5e-4)
    wide, narrow, sizes = [], [], (0, 0)
    for _ in range(TWINS):
        begun = perf_counter()
        _reach(descend(weights, objective, rule), target, error)
        wide.append(perf_counter() - begun)
        begun = perf_counter()
        found = twin(weights, objective, r)
        _reach(descend(found.cores, found.inner(objective), rule), found.left.T @ target @ found.right.T, error)
        narrow.append(perf_counter() - begun)
        sizes = sum(w.size for w in weights), found.n_params
    name = f"wide network ({sizes[0]:,} numbers) over its twin ({sizes[1]:,}), to an error of {error:g}"
    yield Figure(name, median(wide) / median(narrow), "x", 50, floor=True)


def _target(d: int, r: int) -> np.ndarray:
    U, S, Vh = np.linalg.svd(np.random.default_rng(0).standard_normal((d, d)))
    return (U[:, :r] * S[:r]) @ Vh[:r]


def _reach(path: Iterator, target: np.ndarray, error: float) -> int:
    """Steps until the product is so near to the target."""
    size = np.linalg.norm(target)
    for step, (_, product) in enumerate(path):
        if step % 10 == 0 and np.linalg.norm(product - target) <= error * size:
            return step
    raise AssertionError("a descent has no end")
