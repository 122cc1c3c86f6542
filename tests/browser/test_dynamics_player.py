"""A hand on the dynamics player, in Voila and in JupyterLab, against the same simulations in Python."""

import json
import re
from dataclasses import asdict
from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from playwright.sync_api import TimeoutError

from benchmarks.browser import in_lab, in_voila, write_notebook
from lowrank_kit.i18n import strings
from lowrank_kit.methods.simulation import Settings, Simulation

pytestmark = pytest.mark.browser

OPENED = {"voila": in_voila, "lab": in_lab}
# What is the same wherever the page is.
voila_only = pytest.mark.parametrize("page", ["voila"], indirect=True, scope="module")
FIRST = {"width": 12, "rank": 2, "steps": 100, "learning_rate": 0.01}
END = 100
# What some sliders stop at.
RATES = [1e-4, 1.5e-4, 2e-4, 3e-4, 4e-4, 5e-4, 7e-4, 1e-3, 1.5e-3, 2e-3, 3e-3, 4e-3, 5e-3, 7e-3]
RATES += [0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5]
# Below the player stands what the kernel knows of it, and buttons for what only Python does.
CELL = f"""\
import json

import ipywidgets
from IPython.display import display
from lowrank_kit import DynamicsPlayer

player = DynamicsPlayer(**{FIRST})
kernel = ipywidgets.Label(json.dumps(player.setting))
kernel.add_class("kernel")
player.observe(lambda _: setattr(kernel, "value", json.dumps(player.setting)), "setting")
slow, guess = (ipywidgets.Button(description=name) for name in ("slow", "guess"))
slow.on_click(lambda _: setattr(player, "progress", 0.4))
guess.on_click(lambda _: player.set(guess=3))
display(player, kernel, slow, guess)"""
# Everything that is said.
SEEN = """() => {
  const texts = (what) => [...document.querySelectorAll(what)].map((part) => part.textContent);
  return {
    tiles: [...document.querySelectorAll(".lrk-tile")].map((tile) => (
      [...tile.querySelectorAll(".lrk-value, .lrk-line")].map((part) => part.textContent))),
    when: document.querySelector(".lrk-when").textContent,
    layers: texts(".lrk-layers .lrk-mode"),
    titles: texts(".lrk-panels h3"),
    words: document.querySelector(".lrk-words").textContent,
    fault: document.querySelector(".lrk-note").textContent,
  };
}"""


@cache
def simulated(settings):
    simulation = Simulation(settings)
    list(simulation.run())
    return simulation.trajectory


@pytest.fixture(scope="module", params=OPENED)
def page(request, browser, tmp_path_factory):
    notebook = write_notebook(tmp_path_factory.mktemp(request.param) / "player.ipynb", CELL)
    with OPENED[request.param](browser, notebook) as page:
        page.faults, page.strangers = [], []
        page.on("pageerror", lambda fault: page.faults.append(str(fault)))
        page.on("console", lambda said: page.faults.append(said.text) if said.type == "error" else None)
        page.on("request", lambda r: page.strangers.append(r.url) if _is_strange(r.url) else None)
        page.wait_for_selector(".lrk-time svg")
        yield page


@pytest.fixture(autouse=True)
def from_the_start(page):
    """Every test begins with the first settings, at the end."""
    page.get_by_role("button", name="Reset").click()
    page.focus(slider("time"))
    page.keyboard.press("End")
    kernel_has(page, **asdict(Settings(**FIRST)), at=None, layer=0, final=True)
    shows(page)


def test_it_is_painted_with_everything_that_python_knows(page):
    now = page.evaluate(SEEN)
    assert now == expected() and now["fault"] == now["words"] == ""
    assert now["tiles"][0] == ["8 of 12", "one number, in every layer", "the law says 8 in every layer"]
    assert page.get_by_role("heading", name="How a deep linear network learns").is_visible()
    assert page.locator(".lrk-still").count() == 0 or not page.locator(".lrk-still").is_visible()


def test_dragging_the_learning_rate_learns_anew_at_every_stop(page):
    box = page.locator(slider("learning_rate")).bounding_box()
    middle, first = box["y"] + box["height"] / 2, RATES.index(0.01)

    def place(stop):
        return box["x"] + 9 + stop / (len(RATES) - 1) * (box["width"] - 18)

    page.mouse.move(place(first), middle)
    page.mouse.down()
    for stop in (first - 2, first - 6, first + 2, first + 6):
        page.mouse.move(place(stop), middle, steps=4)
        kernel_has(page, learning_rate=RATES[stop], final=False)
        shows(page, learning_rate=RATES[stop])
    page.mouse.up()
    kernel_has(page, learning_rate=RATES[stop], final=True)
    shows(page, learning_rate=RATES[stop])


@pytest.mark.parametrize(
    ("name", "stop", "value"),
    [("depth", 1, 2), ("depth", 7, 8), ("width", 4, 16), ("rank", 3, 4), ("scale", 12, 0.1), ("steps", 2, 400)],
)
@voila_only
def test_every_slider_learns_anew(page, name, stop, value):
    page.locator(slider(name)).fill(str(stop))
    kernel_has(page, **{name: value}, final=True)
    shows(page, **{name: value})
    assert page.locator(slider(name)).get_attribute("aria-valuetext") == said(value)
    assert page.locator(".lrk-layers figure").count() == (value if name == "depth" else 3)


@voila_only
def test_sliders_stop_at_round_numbers(page):
    """The rank's goes as far as the width."""
    stops = {"depth": 8, "width": 14, "rank": 12, "scale": 21, "learning_rate": len(RATES), "steps": 10}
    for name, count in stops.items():
        ends = page.locator(slider(name)).evaluate("(slider) => [slider.min, slider.step, slider.max]")
        assert ends == ["0", "1", str(count - 1)]


@pytest.mark.parametrize(
    ("name", "text", "setting"),
    [
        ("Start", "Gaussian", {"start": "gaussian"}),
        ("Start", "aligned with the target", {"start": "aligned"}),
        ("Optimiser", "momentum", {"rule": "momentum"}),
        ("Optimiser", "Adam", {"rule": "adam"}),
        ("Inputs", "3", {"condition": 3}),
        ("Target seen", "50%", {"seen": 0.5}),
        ("Twin's outer rate", "0.01", {"outer": 0.01}),
        ("Weight decay", "0.1", {"weight_decay": 0.1}),
    ],
)
@voila_only
def test_every_select_learns_anew(page, name, text, setting):
    choose(page, name, text)
    kernel_has(page, **setting, final=True)
    shows(page, **setting)


@voila_only
def test_inputs_that_are_not_whitened_and_a_target_half_seen_exclude_each_other(page):
    choose(page, "Target seen", "35%")
    kernel_has(page, seen=0.35, condition=1)
    choose(page, "Inputs", "10")
    kernel_has(page, seen=1, condition=10)
    shows(page, condition=10)
    assert combobox(page, "Target seen").input_value() == "1"
    choose(page, "Target seen", "50%")
    kernel_has(page, seen=0.5, condition=1)
    shows(page, seen=0.5)
    assert combobox(page, "Inputs").input_value() == "1"


@voila_only
def test_a_width_below_the_rank_lowers_the_rank(page):
    page.locator(slider("rank")).fill("9")
    kernel_has(page, rank=10)
    page.locator(slider("width")).fill("1")
    kernel_has(page, rank=8, width=8, final=True)
    now = shows(page, rank=8, width=8)
    assert page.locator(slider("rank")).input_value() == page.locator(slider("rank")).get_attribute("max") == "7"
    assert now["words"] == "2 x 8 directions are all of 8, or more: nothing is left to rest."
    assert now["tiles"][2][0] == now["tiles"][3][0] == "–" and now["titles"][1].startswith("Loss ")
    page.locator(slider("width")).fill("3")
    kernel_has(page, rank=8, width=12)


@voila_only
def test_a_rate_beyond_the_limit_and_what_diverges_are_told(page):
    page.locator(slider("learning_rate")).fill(str(RATES.index(0.3)))
    kernel_has(page, learning_rate=0.3)
    now, film = shows(page, learning_rate=0.3), simulated(settings(learning_rate=0.3))
    assert now["words"].startswith("A learning rate of 0.3 lies beyond ")
    assert f"It diverged at step {film.facts['diverged_at']}; what came before is kept." in now["words"]
    assert page.locator(slider("time")).get_attribute("max") == str(max(len(film), 2))
    assert "NaN" not in page.locator(".lrk").inner_html()


@voila_only
def test_what_cannot_be_is_told_and_undone(page):
    """What a twin was made for from Python stands in the way of a higher rank."""
    page.get_by_role("button", name="guess").click()
    kernel_has(page, guess=3)
    shows(page, guess=3)
    page.locator(slider("rank")).fill("4")
    note = page.locator(".lrk-note")
    note.get_by_text("`guess` must be a whole number from the rank, 5, to the width, 12, or None").wait_for()
    page.wait_for_function("(rank) => document.querySelector(rank).value === '1'", arg=slider("rank"))
    kernel_has(page, rank=2, guess=3)
    page.locator(slider("rank")).fill("2")
    kernel_has(page, rank=3, guess=3)
    shows(page, rank=3, guess=3)
    assert note.inner_text() == ""


@pytest.mark.parametrize("index", [0, 1, 37, 99])
def test_scrubbing_shows_the_training_as_it_was(page, index):
    page.locator(slider("time")).fill(str(index + 1))
    shows(page, index)
    kernel_has(page, at=index, final=True)


def test_keys_move_through_time(page):
    page.focus(slider("time"))
    page.keyboard.press("Home")
    shows(page, 0)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    shows(page, 3)
    assert page.locator(slider("time")).get_attribute("aria-valuetext") == "entry 4 of 101, step 3 of 100"
    page.keyboard.press("End")
    shows(page)
    kernel_has(page, at=None, final=True)


def test_a_step_at_a_time_and_to_the_end(page):
    back, on, newest = (page.get_by_role("button", name=n) for n in ("One step back", "One step on", "To the end"))
    assert newest.is_disabled()
    back.click()
    back.click()
    shows(page, END - 2)
    kernel_has(page, at=END - 2, final=True)
    on.click()
    shows(page, END - 1)
    on.click()
    kernel_has(page, at=None)
    on.click()
    shows(page)
    page.locator(slider("time")).fill("1")
    back.click()
    shows(page, 0)
    kernel_has(page, at=0, final=True)
    newest.click()
    shows(page)
    kernel_has(page, at=None, final=True)


@pytest.mark.parametrize("chart", [0, 2, 3, 4, 5])
def test_a_drag_on_any_picture_over_time_scrubs(page, chart):
    svg = page.locator(".lrk-time svg").nth(chart)
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    scale, middle = box["width"] / 400, box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 380 * scale, middle)
    page.mouse.down()
    for index in (90, 20, 61):
        place = 42 + index / 100 * (384 - 42)
        page.mouse.move(box["x"] + (place + 0.5) * scale, middle)
        shows(page, index)
        cursors = page.locator(".lrk-cursor").evaluate_all("(all) => all.map((line) => +line.getAttribute('x1'))")
        assert cursors == pytest.approx([place] * 6)
    kernel_has(page, at=61, final=False)
    page.mouse.up()
    kernel_has(page, at=61, final=True)


def test_it_plays_at_a_pace_and_stops_at_a_press(page):
    play = page.locator(".lrk-play")
    combobox(page, "Pace").select_option("4")
    assert play.inner_text() == "Play"
    play.click()
    page.wait_for_function(
        "(time) => [30, 31, 32, 33, 34, 35].includes(+document.querySelector(time).value)", arg=slider("time")
    )
    assert play.inner_text() == "Stop"
    play.click()
    page.wait_for_function("() => document.querySelector('.lrk-play').textContent === 'Play'")
    index = int(page.locator(slider("time")).input_value()) - 1
    assert 29 <= index < 100
    shows(page, index)
    kernel_has(page, at=index, final=True)
    play.click()
    page.wait_for_function("() => document.querySelector('.lrk-play').textContent === 'Play'")
    shows(page)
    kernel_has(page, at=None, final=True)
    combobox(page, "Pace").select_option("1")


@voila_only
def test_it_plays_again_and_again_where_that_is_wanted(page):
    loop, play = page.get_by_role("button", name="Loop"), page.locator(".lrk-play")
    combobox(page, "Pace").select_option("4")
    loop.click()
    assert loop.get_attribute("aria-pressed") == "true"
    page.locator(slider("time")).fill("90")
    play.click()
    page.wait_for_function(
        "(t) => [10, 11, 12, 13, 14, 15].includes(+document.querySelector(t).value)", arg=slider("time")
    )
    assert play.inner_text() == "Stop"
    loop.click()
    assert loop.get_attribute("aria-pressed") == "false"
    page.wait_for_function("() => document.querySelector('.lrk-play').textContent === 'Play'")
    shows(page)
    combobox(page, "Pace").select_option("1")


@voila_only
def test_a_hand_on_another_setting_stops_it(page):
    page.locator(".lrk-play").click()
    page.wait_for_function("() => document.querySelector('.lrk-play').textContent === 'Stop'")
    page.locator(slider("depth")).fill("1")
    page.wait_for_function("() => document.querySelector('.lrk-play').textContent === 'Play'")
    kernel_has(page, depth=2, final=True)
    shows(page, int(page.locator(slider("time")).input_value()) - 1, depth=2)


def test_a_layer_is_chosen_for_its_angles_and_its_shared_value(page):
    page.locator(slider("depth")).fill("3")
    kernel_has(page, depth=4)
    shows(page, depth=4)
    for number, name in ((4, "W₄"), (2, "W₂")):
        page.get_by_role("button", name=name, exact=True).click()
        kernel_has(page, layer=number - 1, final=True)
        now = shows(page, layer=number - 1, depth=4)
        assert now["titles"][0].startswith(f"W{number}: turned") and now["tiles"][1][1].endswith(f"of W{number}")
        pressed = page.locator(".lrk-layer").evaluate_all("(all) => all.map((b) => b.ariaPressed)")
        assert pressed == [str(at == number - 1).lower() for at in range(4)]
    page.get_by_role("button", name="W₄", exact=True).click()
    page.locator(slider("depth")).fill("1")
    kernel_has(page, depth=2, layer=1)
    shows(page, layer=1, depth=2)


@voila_only
def test_another_seed_and_back(page):
    page.get_by_role("button", name="Another seed").click()
    page.get_by_role("button", name="Another seed").click()
    kernel_has(page, seed=2)
    shows(page, seed=2)
    page.locator(slider("rank")).fill("0")
    kernel_has(page, seed=2, rank=1)
    page.get_by_role("button", name="Reset").click()
    kernel_has(page, **asdict(Settings(**FIRST)), final=True)
    shows(page)


@voila_only
def test_lines_are_those_of_the_trajectory(page):
    """In the picture of W₁: both that rise, the number that eight share, both that fall, and the recursion."""
    film = simulated(settings())
    values, resting = film["values"][:, 0], film["resting"][:, 0]
    high = film["values"].max()
    x = 42 + film.steps / 100 * (384 - 42)
    paths = page.locator(".lrk-layers svg").first.locator(".lrk-many, .lrk-law")
    found = [
        np.array([[float(number) for number in pair.split(",")] for pair in re.split("[ML]", path)[1:]])
        for path in paths.evaluate_all("(all) => all.map((path) => path.getAttribute('d'))")
    ]
    assert len(found) == 6
    for points, drawn in zip(found, [*values[:, [0, 1, 2, 10, 11]].T, resting], strict=True):
        y = 176 + drawn / (1.04 * high) * (8 - 176)
        np.testing.assert_allclose(points, np.stack([x, y], axis=1), atol=0.0501)


@voila_only
def test_matrices_are_painted_as_they_are(page):
    film, target = simulated(settings()), Simulation(settings()).target
    product = film["product"][END]
    for canvas, matrix in zip(page.locator(".lrk-heat canvas").all(), (product, target), strict=True):
        pixels = canvas.evaluate("(c) => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)")
        found = np.array(pixels).reshape(12, 12, 4)
        share = np.clip(np.abs(matrix) / np.abs(target).max(), 0, 1)
        np.testing.assert_allclose(found[:, :, 3], 255 * share, atol=1)
        strong = share > 0.3
        assert ((found[:, :, 0] > found[:, :, 2]) == (matrix > 0))[strong].all()


def test_the_language_switches_both_ways_and_reset_knows_the_first_settings(page):
    page.locator(slider("depth")).fill("1")
    kernel_has(page, depth=2)
    page.get_by_role("button", name="日本語").click()
    page.get_by_role("heading", name=strings("dynamics", "ja")["title"]).wait_for()
    assert page.locator(".lrk").get_attribute("lang") == "ja"
    shows(page, depth=2, language="ja")
    assert "undefined" not in page.locator(".lrk").inner_html()
    assert combobox(page, strings("dynamics", "ja")["start"]).locator("option").all_inner_texts() == [
        strings("dynamics", "ja")[name] for name in ("orthogonal", "gaussian", "uniform", "aligned")
    ]
    page.get_by_role("button", name=strings("dynamics", "ja")["reset"]).click()
    kernel_has(page, **asdict(Settings(**FIRST)))
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="How a deep linear network learns").wait_for()
    shows(page)
    assert "undefined" not in page.locator(".lrk").inner_html()


def test_every_control_is_reached_by_tab_and_has_a_name(page):
    page.get_by_role("button", name="Another seed").focus()
    reached = []
    for _ in range(page.locator(".lrk :is(button, input, select):enabled").count()):
        reached.append(
            page.evaluate("""() => {
              const at = document.activeElement;
              return [at.ariaLabel ?? at.textContent, at.checkVisibility(), getComputedStyle(at).outlineStyle];
            }""")
        )
        page.keyboard.press("Tab")
    text = strings("dynamics", "en")
    knobs = ("depth", "width", "rank", "scale", "learning_rate", "steps")
    knobs += ("start", "rule", "condition", "seen", "outer", "weight_decay")
    assert [name for name, *_ in reached] == [
        "Another seed", "Reset", "日本語", *(text[name] for name in knobs),
        "Play", "One step back", "One step on", "Time", "Pace", "Loop", "W₁", "W₂", "W₃",
    ]  # fmt: skip
    assert all(visible and outline == "solid" for _, visible, outline in reached[1:])


@voila_only
def test_pictures_and_matrices_are_named(page):
    names = page.locator(".lrk :is(svg, canvas)").evaluate_all(
        "(all) => all.map((s) => [s.getAttribute('role'), s.getAttribute('aria-label')])"
    )
    now = page.evaluate(SEEN)
    layers = zip(("W₁", "W₂", "W₃"), now["layers"], strict=True)
    assert names == [
        *(["img", f"Singular values of {name}: {text}"] for name, text in layers),
        *(["img", title] for title in now["titles"]),
        ["img", f"The product of all layers; relative error {digits(simulated(settings())['recovery'][END], 2)}"],
        ["img", "The target"],
    ]  # fmt: skip


@voila_only
def test_a_bar_shows_how_far_a_slow_simulation_is(page):
    bar = page.get_by_label("Progress of the simulation")
    assert bar.evaluate("(bar) => getComputedStyle(bar).visibility") == "hidden"
    page.get_by_role("button", name="slow").click()
    page.wait_for_function("() => document.querySelector('.lrk progress').style.visibility === 'visible'")
    assert float(bar.get_attribute("value")) == 0.4
    page.get_by_role("button", name="Another seed").click()
    page.wait_for_function("() => document.querySelector('.lrk progress').style.visibility === 'hidden'")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_text_is_cut_off(page, language):
    """Also with the longest words: settings that the law does not speak of, and a rate that diverges."""
    before, over = page.viewport_size, []
    if language == "ja":
        page.get_by_role("button", name="日本語").click()
        page.get_by_role("button", name="English").wait_for()
    try:
        for rate in (0.01, 0.3):
            page.locator(slider("learning_rate")).fill(str(RATES.index(rate)))
            shows(page, learning_rate=rate, language=language)
            # JupyterLab has a list of files beside the page.
            for width in (1360, 760) if "/lab/" in page.url else (1360, 760, 480):
                page.set_viewport_size({"width": width, "height": 900})
                page.wait_for_timeout(100)
                over += [(width, rate, part) for part in page.evaluate(CUT_OFF)]
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
        for pair in ((".lrk", "backgroundColor"), (".lrk-cursor", "stroke"), (".lrk-tile", "backgroundColor"))
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


def test_nothing_moves_while_time_goes_by(page):
    places = set()
    for index in (0, 1, 30, 99):
        page.locator(slider("time")).fill(str(index + 1))
        shows(page, index)
        places.add(
            tuple(
                page.locator(".lrk-time svg, .lrk-timerow input, .lrk-tile").evaluate_all(
                    "(all) => all.flatMap((part) => Object.values(part.getBoundingClientRect().toJSON()))"
                )
            )
        )
    assert len(places) == 1


def test_nothing_fails_and_nothing_is_fetched_from_elsewhere(page):
    assert page.faults == []
    assert page.strangers == []


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


def slider(name):
    return f"input[type=range][data-layer={name}]"


def combobox(page, name):
    return page.get_by_role("combobox", name=name, exact=True)


def choose(page, name, text):
    combobox(page, name).select_option(label=text)


def settings(**changes):
    return Settings(**FIRST | changes)


def kernel_has(page, **expected):
    """Until the kernel's setting holds these values."""
    page.wait_for_function(
        """(expected) => {
          const known = JSON.parse(document.querySelector(".kernel").textContent);
          return Object.entries(expected).every(([key, value]) => known[key] === value);
        }""",
        arg=json.loads(json.dumps(expected)),
    )


def shows(page, at=None, *, layer=0, language="en", **changes):
    """Until everything is said as Python says it of these settings, at an entry."""
    wanted = expected(at, layer=layer, language=language, **changes)
    try:
        page.wait_for_function(f"(wanted) => JSON.stringify(({SEEN})()) === wanted", arg=_json(wanted), timeout=15_000)
    except TimeoutError:
        assert page.evaluate(SEEN) == wanted
    return wanted


def expected(at=None, *, layer=0, language="en", **changes):
    """What the player says, from what Python knows."""
    text, film = strings("dynamics", language), simulated(settings(**changes))
    facts, n = film.facts, film["values"].shape[-1]
    at = len(film) - 1 if at is None else min(at, len(film) - 1)
    least, room = int(film["repeated"][at].min()), n - sum(facts["ends"])
    shared = film["values"][at, layer, (n - 1) // 2]
    tiles = [
        [
            text["of"].format(part=least, whole=n),
            text["rest_line" if least else "rest_none"],
            text["rest_law"].format(room=room) if room > 0 else text["rest_no_room"],
        ],
        [
            digits(shared, 3),
            text["resting_line"].format(layer=layer + 1),
            text["resting_law"].format(law=digits(film["resting"][at, layer], 3))
            if "resting" in film.arrays
            else text["resting_no_law"],
        ],
    ]
    two = {name: digits(film[name][at], 2) for name in ("loss", "twin_loss", "recovery", "twin_recovery", "gap")}
    if np.isnan(film["gap"][at]):
        tiles += [["–", text["gap_none"], ""]] * 2 if facts["n_params_twin"] is None else []
    else:
        law = text["gap_no_law"]
        if "gap_foretold" in film.arrays:
            law = text["gap_law"].format(law=digits(film["gap_foretold"][at], 2))
        whole, twin = facts["n_params"], facts["n_params_twin"]
        tiles += [
            [two["gap"], text["gap_line"].format(wide=two["recovery"], twin=two["twin_recovery"]), law],
            [
                f"{twin / whole:.1%}",
                text["params_line"].format(twin=f"{twin:,}", whole=f"{whole:,}"),
                text["params_width"].format(width=2 * (facts["guess"] or facts["rank"])),
            ],
        ]
    many = film["repeated"][at]
    turned = film["angles"][at, layer, :, -1]
    loss = {"loss": two["loss"], "twin": two["twin_loss"]}
    titles = [
        text["angles_none"]
        if np.isnan(turned).any()
        else text["angles"].format(layer=layer + 1, angle=degrees(turned)),
        text["loss_alone" if np.isnan(film["twin_loss"][at]) else "losses"].format(**loss),
        text["modes_law" if "modes_foretold" in film.arrays else "modes"].format(error=two["recovery"]),
    ]
    words, lost = [], facts["diverged_at"]
    if facts["learning_rate"] > facts["limit"]:
        about = "beyond_about" if facts["condition"] > 1 or facts["seen"] < 1 else "beyond"
        words.append(text[about].format(rate=digits(facts["learning_rate"], 2), limit=digits(facts["limit"], 2)))
    if lost is not None:
        words.append(text["diverged"].format(step=lost))
    if room <= 0:
        words.append(text["no_room"].format(rank=facts["rank"], width=n))
    return {
        "tiles": tiles,
        "when": text["step_of"].format(step=f"{film.steps[at]:,}", total=f"{film.steps[-1]:,}"),
        "layers": [text["repeated"].format(many=k, n=n) if k else text["none_repeated"] for k in many],
        "titles": titles,
        "words": " ".join(words),
        "fault": "",
    }


def degrees(angles):
    found = float(np.degrees(angles.max()))
    if found < 1e-3:
        return "< 0.001°"
    return f"{digits(found, 2) if found < 1 else f'{found:,.1f}'}°"


def digits(value, n):
    """A number with at most so many digits that count, without an exponent."""
    text = f"{Decimal(f'{value:.{n}g}'):,f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) if np.isfinite(value) else "NaN"


def said(value):
    return digits(value, 2) if value < 1 else f"{value:,}"


def _json(wanted):
    return json.dumps(wanted, ensure_ascii=False, separators=(",", ":"))


def _is_strange(url):
    return not re.match(r"(http|ws)://(127\.0\.0\.1|localhost)[:/]|data:|blob:", url)
