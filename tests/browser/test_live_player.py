"""A hand on the live player, in Voila and in JupyterLab, against the same two trainings in Python."""

import json
import re
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import TimeoutError

from benchmarks.browser import in_lab, in_voila, write_notebook
from lowrank_kit.i18n import strings
from lowrank_kit.methods.watching import Watch, WatchSettings
from tests.blobs import blobs

pytestmark = pytest.mark.browser

OPENED = {"voila": in_voila, "lab": in_lab}
# What is the same wherever the page is.
voila_only = pytest.mark.parametrize("page", ["voila"], indirect=True, scope="module")
TIME = "input[type=range][data-layer=time]"
FIRST = {"steps": 60, "learning_rate": 0.3, "batch": None}
END = 60
# Below the player stands what the kernel knows of it.
CELL = """\
import json, sys

import ipywidgets
from IPython.display import display

sys.path.insert(0, {root!r})
from lowrank_kit import LivePlayer
from tests.blobs import blobs

player = LivePlayer(*blobs(), **{settings})
kernel = ipywidgets.Label()
kernel.add_class("kernel")


def told(_=None):
    kernel.value = json.dumps(player.setting | {{"state": player.state, "step": player.step}})


told()
player.observe(told, ["setting", "state"])
display(player, kernel)"""
# Everything that is said of a step.
SEEN = """() => {
  const texts = (what) => [...document.querySelectorAll(what)].map((part) => part.textContent);
  return {
    tiles: [...document.querySelectorAll(".lrk-tile")].map((tile) => (
      [...tile.querySelectorAll(".lrk-value, .lrk-line")].map((part) => part.textContent))),
    when: document.querySelector(".lrk-when").textContent,
    layers: texts(".lrk-layers .lrk-mode"),
    loss: document.querySelector(".lrk-kinds > :last-child h3").textContent,
  };
}"""


def cell(**settings):
    return CELL.format(root=str(Path(__file__).parents[2]), settings=FIRST | settings)


@cache
def trained(**settings):
    watch = Watch(*blobs(), WatchSettings(**FIRST | settings))
    list(watch.run())
    return watch.trajectory


def listening(page):
    page.faults, page.strangers = [], []
    page.on("pageerror", lambda fault: page.faults.append(str(fault)))
    page.on("console", lambda said: page.faults.append(said.text) if said.type == "error" else None)
    page.on("request", lambda r: page.strangers.append(r.url) if _is_strange(r.url) else None)
    page.wait_for_selector(TIME)
    return page


@pytest.fixture(scope="module", params=OPENED)
def page(request, browser, tmp_path_factory):
    """The player, once a press of its button has trained both networks."""
    notebook = write_notebook(tmp_path_factory.mktemp(request.param) / "player.ipynb", cell())
    with OPENED[request.param](browser, notebook) as page:
        listening(page)
        frames(page)
        page.before = {**page.evaluate(SEEN), "main": main(page).inner_text(), "status": status(page)}
        main(page).click()
        is_finished(page)
        yield page


@pytest.fixture(autouse=True)
def from_the_end(request):
    """Every test that shares the page begins at the newest entry."""
    if "page" in request.fixturenames:
        page = request.getfixturevalue("page")
        page.focus(TIME)
        page.keyboard.press("End")
        frames(page)


@pytest.fixture
def opened(browser, tmp_path):
    """(settings) -> a page of its own in Voila."""
    contexts = []

    def open_page(**settings):
        context = in_voila(browser, write_notebook(tmp_path / "own.ipynb", cell(**settings)))
        contexts.append(context)
        return listening(context.__enter__())

    yield open_page
    for context in contexts:
        context.__exit__(None, None, None)


def test_it_is_painted_before_it_trains(page):
    assert page.before == {**expected(0), "when": "step 0 of 60", "main": "Start training", "status": "not begun"}
    assert page.get_by_role("heading", name="blobs").is_visible()
    assert "learn 90 training examples from the same weights" in page.locator(".lrk-head p").inner_text()


def test_a_press_trains_as_python_does(page):
    shows(page)
    assert page.locator(".lrk-tile .lrk-badge").first.inner_text() == "measured"
    assert (main(page).inner_text(), status(page)) == ("Start again", "finished")
    bar = page.get_by_label("Progress of the training")
    assert bar.get_attribute("value") == bar.get_attribute("max") == "60"
    assert page.locator(TIME).get_attribute("max") == "61"


@pytest.mark.parametrize("index", [0, 1, 23, 59])
def test_scrubbing_shows_the_training_as_it_was(page, index):
    page.locator(TIME).fill(str(index + 1))
    shows(page, index)
    kernel_has(page, at=index, final=True, step=index)


def test_keys_and_buttons_move_through_time(page):
    page.focus(TIME)
    page.keyboard.press("Home")
    shows(page, 0)
    page.keyboard.press("ArrowRight")
    shows(page, 1)
    assert page.locator(TIME).get_attribute("aria-valuetext").endswith("step 1 of 60")
    page.get_by_role("button", name="One step on").click()
    shows(page, 2)
    page.get_by_role("button", name="One step back").click()
    shows(page, 1)
    kernel_has(page, at=1, final=True)
    page.get_by_role("button", name="To the end").click()
    shows(page)
    kernel_has(page, at=None, final=True)


@pytest.mark.parametrize("chart", [0, 4, 6])
def test_a_drag_on_any_picture_over_time_scrubs(page, chart):
    svg = page.locator(".lrk-time svg").nth(chart)
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    scale, middle = box["width"] / 400, box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 380 * scale, middle)
    page.mouse.down()
    for index in (50, 12):
        place = 42 + index / 60 * (384 - 42)
        page.mouse.move(box["x"] + (place + 1) * scale, middle)
        shows(page, index)
        cursors = page.locator(".lrk-cursor").evaluate_all("(all) => all.map((line) => +line.getAttribute('x1'))")
        assert cursors == pytest.approx([place] * 7)
    page.mouse.up()
    kernel_has(page, at=12, final=True)


@voila_only
def test_it_plays_to_the_end_at_a_pace(page):
    page.get_by_role("combobox", name="Pace").select_option("4")
    page.locator(".lrk-play").click()
    page.wait_for_function("(time) => [10, 11, 12, 13, 14].includes(+document.querySelector(time).value)", arg=TIME)
    assert page.locator(".lrk-play").inner_text() == "Stop"
    page.wait_for_function("() => document.querySelector('.lrk-play').textContent === 'Replay'")
    shows(page)
    kernel_has(page, at=None, final=True)


@voila_only
def test_lines_are_those_of_the_trajectory(page):
    """Every singular value of every layer; a narrower one has fewer. Those that lie on one another are one line."""
    film = trained()
    high, x = np.nanmax(film["values"]), 42 + film.steps / 60 * (384 - 42)
    for index in range(6):
        paths = page.locator(".lrk-layers svg").nth(index).locator(".lrk-many")
        drawn = paths.evaluate_all(
            "(all) => all.map((p) => [p.getAttribute('d'), +p.getAttribute('stroke-width') > 2])"
        )
        values = film["values"][:, index]
        values = values[:, ~np.isnan(values[0])]
        wanted = 176 + values / (1.04 * high) * (8 - 176)
        assert len(drawn) <= values.shape[1] == (3 if index % 3 == 2 else 12 if index % 3 == 0 else 16)
        for path, is_many in drawn:
            points = np.array([[float(n) for n in pair.split(",")] for pair in re.split("[ML]", path)[1:]])
            np.testing.assert_allclose(points[:, 0], x, atol=0.0501)
            near = np.abs(wanted - points[:, 1:]).max(axis=0) < 0.21
            assert near.any() and (near.sum() > 2) >= is_many


@voila_only
def test_settings_that_are_changed_later_hold_from_the_next_start(page):
    later = page.locator(".lrk-words")
    assert later.inner_text() == ""
    try:
        choose(page, "Optimiser", "Adam")
        choose(page, "Learning rate", "0.01")
        choose(page, "Batch", "16")
        kernel_has(page, optimiser="adam", learning_rate=0.01, batch=16, state="finished")
        later.get_by_text("Settings hold from the next start.").wait_for()
        shows(page)
        main(page).click()
        shows(page, optimiser="adam", learning_rate=0.01, batch=16)
        is_finished(page)
        assert later.inner_text() == ""
    finally:
        choose(page, "Optimiser", "gradient descent")
        choose(page, "Learning rate", "0.3")
        choose(page, "Batch", "all at once")
        kernel_has(page, optimiser="descent", learning_rate=0.3, batch=None)
        main(page).click()
        shows(page)
        is_finished(page)


@voila_only
def test_selects_show_values_of_ones_own_too(page):
    chosen = page.locator(".lrk-knob select").evaluate_all("(all) => all.map((s) => s.selectedOptions[0].text)")
    assert chosen == ["orthogonal", "0.5", "gradient descent", "0.3", "yes", "all at once", "60"]
    steps = page.get_by_role("combobox", name="Steps").locator("option").all_inner_texts()
    assert steps == ["200", "400", "1,000", "2,000", "4,000", "60"]


def test_the_language_switches_both_ways(page):
    page.locator(TIME).fill("5")
    page.get_by_role("button", name="日本語").click()
    words = strings("live", "ja")
    page.get_by_role("heading", name=words["network"]).wait_for()
    assert page.locator(".lrk").get_attribute("lang") == "ja" and status(page) == words["finished"]
    shows(page, 4, language="ja")
    assert main(page).inner_text() == words["restart"]
    assert "undefined" not in page.locator(".lrk").inner_html()
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="The network, with its activations").wait_for()
    shows(page, 4)
    assert "undefined" not in page.locator(".lrk").inner_html()


def test_every_control_is_reached_by_tab_and_has_a_name(page):
    page.get_by_role("button", name="日本語").focus()
    reached = []
    for _ in range(page.locator(".lrk :is(button:not([hidden]), input, select):enabled").count()):
        reached.append(
            page.evaluate("""() => {
              const at = document.activeElement;
              return [at.ariaLabel ?? at.textContent, at.checkVisibility(), getComputedStyle(at).outlineStyle];
            }""")
        )
        page.keyboard.press("Tab")
    assert [name for name, *_ in reached] == [
        "日本語", "Start again", "Start", "Size of start", "Optimiser", "Learning rate", "Inputs whitened", "Batch",
        "Steps", "Replay", "One step back", "One step on", "Time", "Pace", "Loop",
    ]  # fmt: skip
    assert all(visible and outline == "solid" for _, visible, outline in reached[1:])


@voila_only
def test_pictures_are_named(page):
    names = page.locator(".lrk svg").evaluate_all(
        "(all) => all.map((s) => [s.getAttribute('role'), s.getAttribute('aria-label')])"
    )
    now = page.evaluate(SEEN)
    layers = [f"Singular values of {name}: {text}" for name, text in zip("024024", now["layers"], strict=True)]
    assert names == [["img", name] for name in (*layers, now["loss"])]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_text_is_cut_off(page, language):
    before, over = page.viewport_size, []
    if language == "ja":
        page.get_by_role("button", name="日本語").click()
        page.get_by_role("button", name="English").wait_for()
    try:
        # JupyterLab has a list of files beside the page.
        for width in (1360, 760) if "/lab/" in page.url else (1360, 760, 480):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(100)
            over += [(width, part) for part in page.evaluate(CUT_OFF)]
    finally:
        page.set_viewport_size(before)
        if language == "ja":
            page.get_by_role("button", name="English").click()
            page.get_by_role("button", name="日本語").wait_for()
    assert over == []


@voila_only
def test_colours_follow_a_dark_page(page):
    style = "getComputedStyle(document.querySelector('{}')).{}"
    asked = [
        style.format(*pair)
        for pair in ((".lrk", "backgroundColor"), (".lrk-cursor", "stroke"), (".lrk-main", "backgroundColor"))
    ]
    light = [page.evaluate(one) for one in asked]
    names = {"--jp-layout-color1": "#111", "--jp-ui-font-color1": "#eee"}
    around = page.locator(".lrk").locator("..")
    around.evaluate("(e, all) => Object.entries(all).forEach(([n, v]) => e.style.setProperty(n, v))", names)
    dark = [page.evaluate(one) for one in asked]
    around.evaluate("(e, all) => Object.keys(all).forEach((n) => e.style.removeProperty(n))", names)
    assert dark[:2] == ["rgb(17, 17, 17)", "rgb(238, 238, 238)"]
    assert all(one != other for one, other in zip(light, dark, strict=True))


def test_another_board_on_the_page_changes_nothing(page, moved_by_others):
    assert moved_by_others(page) == []


def test_nothing_fails_and_nothing_is_fetched_from_elsewhere(page):
    assert page.faults == []
    assert page.strangers == []


def test_settings_before_the_start_are_shown_at_once_and_it_can_be_paused_and_begun_anew(opened):
    """A training of some seconds, which is scrubbed while it runs."""
    page = opened(steps=4000, learning_rate=0.001)
    shows(page, 0, steps=1, total=4000)
    choose(page, "Start", "Gaussian")
    shows(page, 0, steps=1, start="gaussian", learning_rate=0.001, total=4000)
    assert page.locator(".lrk-words").inner_text() == "" and status(page) == "not begun"
    main(page).click()
    page.wait_for_function("(time) => +document.querySelector(time).value >= 4", arg=TIME)
    assert re.fullmatch(r"training · \d+%", status(page)) and main(page).inner_text() == "Pause"
    assert page.get_by_role("button", name="Start again").is_visible()
    page.locator(TIME).fill("2")
    first = {"start": "gaussian", "learning_rate": 0.001}
    shows(page, 1, steps=1, total=4000, **first)
    page.wait_for_function("() => +document.querySelector('.lrk-progress progress').value >= 200")
    shows(page, 1, steps=1, total=4000, **first)
    main(page).click()
    kernel_has(page, state="paused", at=1)
    page.wait_for_function("() => document.querySelector('.lrk-main').textContent === 'Resume'")
    assert re.fullmatch(r"paused · \d+%", status(page))
    choose(page, "Steps", "200")
    page.locator(".lrk-words").get_by_text("Settings hold from the next start.").wait_for()
    main(page).click()
    page.get_by_role("button", name="To the end").click()
    kernel_has(page, state="running", at=None)
    done = int(page.locator(TIME).input_value())
    page.wait_for_function("([time, done]) => +document.querySelector(time).value > done", arg=[TIME, done])
    page.get_by_role("button", name="Start again").click()
    page.wait_for_function("() => document.querySelector('.lrk-status').textContent === 'finished'")
    shows(page, steps=200, **first)
    assert page.locator(".lrk-words").inner_text() == "" and page.faults == []


def test_a_training_that_diverges_says_so_and_shows_what_was_before(opened):
    page = opened(learning_rate=8.0)
    main(page).click()
    page.get_by_text("training must have finite losses and gradients").wait_for()
    kernel_has(page, state="finished")
    lost = trained(learning_rate=8.0)
    assert lost.facts["diverged"] and np.nanmax(lost["values"]) > 100
    page.wait_for_function("() => document.querySelector('.lrk-main').textContent === 'Start again'")
    assert page.locator(TIME).input_value() == str(len(lost))
    marks = page.locator(".lrk-layers svg").first.locator(".lrk-axes text[text-anchor=end]").all_text_contents()
    assert 0 < float(marks[-1].replace(",", "")) < 20
    page.locator(TIME).fill("2")
    shows(page, 1, learning_rate=8.0, total=60)
    assert "NaN" not in page.locator(".lrk-tiles").inner_text()
    choose(page, "Learning rate", "0.3")
    main(page).click()
    shows(page)
    assert page.locator(".lrk-note").inner_text() == "" and page.faults == []


# What is wider than its place, cut off, or beyond the edge of its picture.
CUT_OFF = """() => {
  const board = document.querySelector(".lrk"), edge = board.getBoundingClientRect().right + 1, found = [];
  for (const part of board.querySelectorAll("*")) {
    const box = part.getBoundingClientRect(), told = `${part.className.baseVal ?? part.className}: ${part.textContent}`;
    if (box.right > edge) found.push(told);
    if (getComputedStyle(part).overflow === "hidden" && part.scrollWidth > part.clientWidth) found.push(told);
    if (part.matches("svg text")) {
      const frame = part.closest("svg").getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1) found.push(told);
    }
    if (part.matches("select")) {
      const free = part.cloneNode(true), chosen = part.options[part.selectedIndex];
      free.replaceChildren(chosen.cloneNode(true));
      free.style.cssText = "position: absolute; width: max-content; max-width: none";
      part.parentNode.append(free);
      if (free.offsetWidth > part.offsetWidth) found.push(`select: ${chosen.text}`);
      free.remove();
    }
  }
  return found;
}"""


def frames(page):
    """Until what was done last has been painted."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def main(page):
    return page.locator(".lrk-main")


def status(page):
    return page.locator(".lrk-status").inner_text()


def choose(page, name, text):
    page.get_by_role("combobox", name=name, exact=True).select_option(label=text)


def kernel_has(page, **expected):
    """Until the kernel holds these values."""
    page.wait_for_function(
        """(expected) => {
          const known = JSON.parse(document.querySelector(".kernel").textContent);
          return Object.entries(expected).every(([key, value]) => known[key] === value);
        }""",
        arg=json.loads(json.dumps(expected)),
    )


def is_finished(page):
    kernel_has(page, state="finished")
    page.wait_for_function("() => document.querySelector('.lrk-status').textContent === 'finished'")


def shows(page, at=None, **options):
    """Until everything is said as Python says it of these settings, at an entry."""
    wanted = expected(at, **options)
    try:
        page.wait_for_function(f"(wanted) => JSON.stringify(({SEEN})()) === wanted", arg=_json(wanted), timeout=15_000)
    except TimeoutError:
        assert page.evaluate(SEEN) == wanted


def expected(at=None, *, language="en", total=None, **settings):
    """What the player says, from what Python knows."""
    text, film = strings("live", language), trained(**settings)
    at = len(film) - 1 if at is None else at
    network, twin = film["accuracy"][at]
    low, high = film["accuracy_low"][at], film["accuracy_high"][at]
    intervals = [text["interval"].format(low=f"{a:.1%}", high=f"{b:.1%}", n=50) for a, b in zip(low, high, strict=True)]
    moved = [" · ".join(f"{share:.0%}" for share in part) for part in film["moved"][at].reshape(2, 3)]
    resting = [" · ".join(map(str, part)) for part in film["resting"][at].reshape(2, 3)]
    loss = [digits(value, 2) for value in film["loss"][at]]
    of_twin = [f"{twin:.1%} {intervals[1]}", moved[1], resting[1], loss[1]]
    twins = [text["twin_is"].format(twin=said) for said in of_twin]
    return {
        "tiles": [
            [f"{network:.1%}", intervals[0], twins[0]],
            [moved[0], twins[1], text["moved_line"].format(directions=6)],
            [resting[0], twins[2], text["resting_line"]],
            [loss[0], twins[3], text["loss_line"].format(n=90)],
        ],
        "when": text["step_of"].format(step=f"{film.steps[at]:,}", total=f"{total or film.steps[-1]:,}"),
        "layers": [text["resting_of"].format(n=n) for n in film["resting"][at]],
        "loss": text["losses"].format(network=loss[0], twin=loss[1]),
    }


def digits(value, n):
    """A number with at most so many digits that count, without an exponent."""
    text = f"{Decimal(f'{value:.{n}g}'):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _json(wanted):
    return json.dumps(wanted, ensure_ascii=False, separators=(",", ":"))


def _is_strange(url):
    return not re.match(r"(http|ws)://(127\.0\.0\.1|localhost)[:/]|data:|blob:", url)
