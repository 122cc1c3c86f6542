"""A hand on the training player, in Voila and in JupyterLab, against the same training from Python."""

import json
import re

import numpy as np
import pytest

from benchmarks.browser import in_lab, in_voila, write_notebook
from lowrank_kit.files import write_arrays
from lowrank_kit.i18n import strings
from lowrank_kit.records import Trajectory
from lowrank_kit.widgets.training_player import TrainingPlayer

pytestmark = pytest.mark.browser

OPENED = {"voila": in_voila, "lab": in_lab}
SETTINGS = {"epochs": 1, "tolerance": 0.2}
TIME = "input[type=range][data-layer=time]"
TOLERANCE = "input[type=range][data-layer=tolerance]"
CEILING = "input[type=range][data-layer=ceiling]"
# Below the player stands what the kernel knows of it.
KERNEL = """\
import json

import ipywidgets
from IPython.display import display
from lowrank_kit import TrainingPlayer

player = {player}
kernel = ipywidgets.Label()
kernel.add_class("kernel")


def told(_=None):
    kernel.value = json.dumps(player.setting | {{"state": player.state, "step": player.step}})


told()
player.observe(told, ["setting", "state"])
display(player, kernel)"""


def cell(**settings):
    options = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    return KERNEL.format(player=f'TrainingPlayer("mnist-cnn", {options})')


@pytest.fixture(scope="module")
def reference():
    """The same training, without a browser."""
    player = TrainingPlayer("mnist-cnn", **SETTINGS)
    player._draw = lambda: None
    player.start()
    player.wait()
    yield player
    player.close()


def listening(page):
    page.faults, page.strangers = [], []
    page.on("pageerror", lambda fault: page.faults.append(str(fault)))
    page.on("console", lambda said: page.faults.append(said.text) if said.type == "error" else None)
    page.on("request", lambda r: page.strangers.append(r.url) if _is_strange(r.url) else None)
    page.wait_for_selector(TIME)
    return page


@pytest.fixture(scope="module", params=OPENED)
def page(request, browser, tmp_path_factory):
    """The player, once a press of its button has trained the network."""
    notebook = write_notebook(tmp_path_factory.mktemp(request.param) / "player.ipynb", cell(**SETTINGS))
    with OPENED[request.param](browser, notebook) as page:
        listening(page)
        page.before = {"tiles": tiles(page), "ranks": ranks(page), "main": main(page).inner_text()}
        main(page).click()
        kernel_has(page, state="finished")
        page.wait_for_function("() => document.querySelector('.lrk-status').textContent === 'finished'")
        yield page


@pytest.fixture(autouse=True)
def from_the_end(request):
    """Every test that shares the page begins at the newest entry and with the first layer but one."""
    if "page" in request.fixturenames:
        page = request.getfixturevalue("page")
        page.get_by_role("button", name="conv3", exact=True).click()
        page.focus(TIME)
        page.keyboard.press("End")
        frames(page)


@pytest.fixture
def opened(browser, tmp_path):
    """(cell) -> a page of its own in Voila."""
    pages = []

    def open_page(code):
        context = in_voila(browser, write_notebook(tmp_path / "own.ipynb", code))
        pages.append(context)
        return listening(context.__enter__())

    yield open_page
    for context in pages:
        context.__exit__(None, None, None)


def test_it_is_painted_before_it_trains(page):
    assert page.before["main"] == "Start training"
    assert page.before["ranks"] == [["out 32", "in 16"], ["out 64", "in 32"], ["rank 128"]]
    params, validation, test, kept = page.before["tiles"]
    assert re.fullmatch(r"[\d,]+", params["value"]) and validation["value"] == test["value"] == kept["value"] == "–"
    assert test["lines"][0] == "measured once, at the end"


def test_a_press_trains_as_python_does(page, reference):
    record, last = reference.record, reference.trajectory
    params, validation, test, _ = tiles(page)
    size, dense = int(last["size"][-1]), last.facts["n_dense"]
    assert params["value"] == f"{size:,}"
    assert params["lines"][0] == f"{size / dense:.1%} of {dense:,} when dense"
    assert validation["value"] == f"{last['accuracy'][-1]:.1%}" and validation["badge"] == "measured"
    low, high = last["accuracy_low"][-1], last["accuracy_high"][-1]
    assert validation["lines"] == [f"[{low:.1%}, {high:.1%}], n = 300", "at step 55"]
    low, high = record.interval
    assert (test["value"], test["badge"]) == (f"{record.accuracy:.1%}", "measured")
    assert test["lines"] == [f"[{low:.1%}, {high:.1%}], n = 1,000", f"whole network: {record.n_params:,} parameters"]
    assert main(page).inner_text() == "Start again"
    assert page.get_by_role("button", name="Cancel").is_hidden()


@pytest.mark.parametrize("index", [0, 1, 5, 10])
def test_scrubbing_shows_the_training_as_it_was(page, reference, index):
    scrub(page, index)
    check_shown(page, reference, index)
    kernel_has(page, at=index, final=True, step=int(reference.trajectory.steps[index]))


def test_keys_move_through_time(page, reference):
    page.focus(TIME)
    page.keyboard.press("Home")
    frames(page)
    check_shown(page, reference, 0)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    frames(page)
    check_shown(page, reference, 3)
    assert page.locator(TIME).get_attribute("aria-valuetext") == "entry 4 of 12, step 15 of 55"
    page.keyboard.press("End")
    frames(page)
    check_shown(page, reference, 11)
    kernel_has(page, at=None, final=True)


def test_dragging_the_slider_paints_every_step_and_letting_go_settles(page, reference):
    box = page.locator(TIME).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 9, middle)
    page.mouse.down()
    seen = []
    for share in np.linspace(0.95, 0.1, 8):
        page.mouse.move(box["x"] + share * box["width"], middle)
        frames(page)
        index = int(page.locator(TIME).input_value()) - 1
        check_shown(page, reference, index)
        seen.append(index)
    assert seen == sorted(seen, reverse=True) and len(set(seen)) > 5
    kernel_has(page, at=seen[-1], final=False)
    page.mouse.up()
    kernel_has(page, at=seen[-1], final=True)


@pytest.mark.parametrize("chart", [0, 3, 4])
def test_a_drag_on_any_picture_over_time_scrubs(page, reference, chart):
    svg = page.locator(".lrk-time svg").nth(chart)
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    scale = box["width"] / 400
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 380 * scale, middle)
    page.mouse.down()
    for index in (10, 7, 2):
        place = 42 + reference.trajectory.steps[index] / 55 * (384 - 42)
        page.mouse.move(box["x"] + (place + 3) * scale, middle)
        frames(page)
        check_shown(page, reference, index)
        cursors = page.locator(".lrk-cursor").evaluate_all("(all) => all.map((line) => +line.getAttribute('x1'))")
        assert cursors == pytest.approx([place] * 5)
    page.mouse.up()
    kernel_has(page, at=2, final=True)
    page.mouse.move(box["x"] + 300 * scale, middle)
    frames(page)
    check_shown(page, reference, 2)


def test_a_right_click_scrubs_nothing(page, reference):
    box = page.locator(".lrk-time svg").nth(3).bounding_box()
    page.mouse.click(box["x"] + 90, box["y"] + 60, button="right")
    frames(page)
    check_shown(page, reference, 11)
    page.keyboard.press("Escape")


def test_the_newest_is_a_press_away(page, reference):
    newest = page.get_by_role("button", name="To the end")
    assert newest.is_disabled()
    scrub(page, 4)
    newest.click()
    frames(page)
    check_shown(page, reference, 11)
    kernel_has(page, at=None)


def test_an_entry_at_a_time(page, reference):
    back, on = (page.get_by_role("button", name=name) for name in ("One step back", "One step on"))
    back.click()
    back.click()
    frames(page)
    check_shown(page, reference, 9)
    kernel_has(page, at=9, final=True)
    on.click()
    frames(page)
    check_shown(page, reference, 10)
    for _ in range(2):
        on.click()
    frames(page)
    check_shown(page, reference, 11)
    kernel_has(page, at=None, final=True)
    scrub(page, 0)
    back.click()
    frames(page)
    check_shown(page, reference, 0)


def test_it_plays_at_another_pace_and_again_and_again(page, reference):
    pace, loop = page.get_by_role("combobox", name="Pace"), page.get_by_role("button", name="Loop")
    assert pace.locator("option").all_inner_texts() == ["0.25 ×", "0.5 ×", "1 ×", "2 ×", "4 ×"]
    assert pace.input_value() == "1" and loop.get_attribute("aria-pressed") == "false"
    pace.select_option("4")
    loop.click()
    assert loop.get_attribute("aria-pressed") == "true"
    scrub(page, 9)
    page.locator(".lrk-play").click()
    page.wait_for_function("(time) => [2, 3, 4].includes(+document.querySelector(time).value)", arg=TIME)
    assert page.locator(".lrk-play").inner_text() == "Stop"
    pace.select_option("2")
    loop.click()
    page.wait_for_function("() => document.querySelector('.lrk-play').textContent === 'Replay'")
    frames(page)
    check_shown(page, reference, 11)
    kernel_has(page, at=None, final=True)
    pace.select_option("1")


def test_it_plays_by_itself_and_stops_at_a_press(page):
    replay = page.locator(".lrk-play")
    assert replay.inner_text() == "Replay"
    replay.click()
    page.wait_for_function("(time) => [3, 4, 5].includes(+document.querySelector(time).value)", arg=TIME)
    assert replay.inner_text() == "Stop"
    places = cursor_places(page, 6)
    assert places == sorted(places) and len(set(places)) > 3
    replay.click()
    frames(page)
    stopped = page.locator(TIME).input_value()
    page.wait_for_timeout(1500)
    assert page.locator(TIME).input_value() == stopped and replay.inner_text() == "Replay"
    kernel_has(page, at=int(stopped) - 1, final=True)


def test_it_plays_to_the_end(page):
    page.locator(".lrk-play").click()
    page.wait_for_function("(time) => +document.querySelector(time).value < 5", arg=TIME)
    page.wait_for_function("() => document.querySelector('.lrk-play').textContent === 'Replay'")
    assert page.locator(TIME).input_value() == "12"
    kernel_has(page, at=None, final=True)


def test_where_motion_is_unwanted_it_jumps(page, reference):
    page.emulate_media(reduced_motion="reduce")
    try:
        page.locator(".lrk-play").click()
        page.wait_for_function("(time) => +document.querySelector(time).value === 3", arg=TIME)
        steps = reference.trajectory.steps / 55 * (384 - 42) + 42
        assert all(np.abs(steps - place).min() < 1e-6 for place in cursor_places(page, 10))
        page.locator(".lrk-play").click()
    finally:
        page.emulate_media(reduced_motion="no-preference")


def test_a_layer_is_chosen_for_its_spectra(page, reference):
    titles = page.locator(".lrk-panels > :last-child h3")
    assert titles.all_inner_texts() == ["conv3: singular values, out", "conv3: singular values, in"]
    scrub(page, 4)
    for name, modes in (("conv2", 2), ("fc1", 1)):
        page.get_by_role("button", name=name, exact=True).click()
        frames(page)
        layer = reference.trajectory.layers.index(name)
        shown = page.locator(".lrk-panels > :last-child .lrk-facts:visible").all_inner_texts()
        values, ranks_then = reference.trajectory["values"][4][layer], reference.trajectory["ranks"][4][layer]
        for mode in range(modes):
            part = values[mode][~np.isnan(values[mode])].astype("f4")
            part = part[part > 1e-4 * part[0]].astype(float)
            rank = int(ranks_then[mode])
            error = np.sqrt(np.square(part[rank:]).sum() / np.square(part).sum())
            assert shown[mode] == f"keeps {rank}; relative error of the cut {error:.1%}"
        assert len(shown) == modes
        kernel_has(page, layer=name)
    pressed = page.locator(".lrk-layer").evaluate_all("(all) => all.map((b) => b.ariaPressed)")
    assert pressed == ["false", "false", "true"]


def test_every_control_is_reached_by_tab_and_has_a_name(page):
    main(page).focus()
    reached = []
    for _ in range(12):
        reached.append(
            page.evaluate(
                "() => [document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent,"
                " getComputedStyle(document.activeElement).outlineStyle]"
            )
        )
        page.keyboard.press("Tab")
    assert [name for name, _ in reached] == [
        "Start again", "Tolerance", "Ceiling", "Replay", "One step back", "One step on", "Time", "Pace", "Loop",
        "conv2", "conv3", "fc1",
    ]  # fmt: skip
    assert all(outline == "solid" for _, outline in reached[1:])
    assert page.locator(TOLERANCE).get_attribute("aria-valuetext") == "a truncation may change a weight by 20.0%"
    labels = page.locator(".lrk svg[role=img]").evaluate_all("(all) => all.map((s) => s.getAttribute('aria-label'))")
    assert all(labels) and labels[0].startswith("Ranks of conv2: out ")


def test_the_language_switches_both_ways(page, reference):
    scrub(page, 4)
    words = strings("player", "ja")
    page.get_by_role("button", name="日本語").click()
    page.get_by_role("heading", name=words["test"], exact=True).wait_for()
    assert page.locator(".lrk").get_attribute("lang") == "ja"
    assert page.locator(".lrk-when").inner_text().startswith(words["step_of"].format(step=20, total=55))
    assert main(page).inner_text() == words["restart"]
    assert page.locator(TIME).input_value() == "5"
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="Final test accuracy", exact=True).wait_for()
    check_shown(page, reference, 4)


def test_nothing_is_cut_off_on_a_narrow_page(page):
    before = page.viewport_size
    page.set_viewport_size({"width": 760, "height": 900})
    try:
        frames(page)
        assert cut_off(page) <= 0
    finally:
        page.set_viewport_size(before)
        frames(page)


def test_another_board_on_the_page_changes_nothing(page, moved_by_others):
    assert moved_by_others(page) == []


def test_the_time_slider_and_the_player_keep_their_size(page):
    sizes = set()
    for index in range(12):
        scrub(page, index)
        boxes = [page.locator(part).bounding_box() for part in (TIME, ".lrk-player")]
        sizes.add(tuple((box["width"], box["height"]) for box in boxes))
    assert len(sizes) == 1


def test_nothing_fails_and_nothing_is_fetched_from_elsewhere(page):
    assert page.faults == []
    assert page.strangers == []


def test_it_can_be_paused_steered_cancelled_and_begun_anew(opened):
    page = opened(cell(epochs=40, tolerance=0.05))
    assert page.locator(".lrk-status").inner_text() == "not begun"
    main(page).click()
    page.wait_for_function("(time) => +document.querySelector(time).value >= 3", arg=TIME)
    assert page.get_by_role("button", name="Cancel").is_visible()
    main(page).click()
    kernel_has(page, state="paused")
    page.wait_for_function("() => document.querySelector('.lrk-main').textContent === 'Resume'")
    page.wait_for_timeout(500)
    held = page.locator(".lrk-when").inner_text()
    page.wait_for_timeout(700)
    assert page.locator(".lrk-when").inner_text() == held
    scrub(page, 1)
    assert page.locator(".lrk-when").inner_text().startswith("step 5 of 2,200")
    drag(page, TOLERANCE, 0.9)
    page.locator(CEILING).fill("4")
    kernel_has(page, ceiling=8, final=True)
    assert page.locator(".lrk-changed").count() == 0
    main(page).click()
    page.get_by_role("button", name="To the end").click()
    # The line at the step where the settings changed stands in all five pictures.
    page.wait_for_function("() => document.querySelectorAll('.lrk-changed').length === 5")
    page.wait_for_function("() => /ceiling 8$/.test(document.querySelectorAll('.lrk-tile')[3].innerText.trim())")
    page.get_by_role("button", name="Cancel").click()
    kernel_has(page, state="cancelled")
    page.wait_for_function("() => document.querySelector('.lrk-main').textContent === 'Start again'")
    frames(page)
    recorded = int(page.locator(TIME).input_value())
    assert recorded >= 4
    scrub(page, 2)
    assert page.locator(".lrk-when").inner_text().startswith("step 10 of 2,200")
    # In one go with more scrubbing, some of which the kernel hears only after it has begun anew.
    page.evaluate(
        """(time) => {
          const slider = document.querySelector(time);
          for (const value of [1, 2, 3]) {
            slider.value = value;
            slider.dispatchEvent(new Event("input"));
          }
          document.querySelector(".lrk-main").click();
        }""",
        TIME,
    )
    kernel_has(page, state="running", at=None)
    page.wait_for_function("(time) => +document.querySelector(time).value >= 2", arg=TIME)
    page.get_by_role("button", name="Cancel").click()
    kernel_has(page, state="cancelled")
    assert page.faults == []


def test_a_step_by_itself_is_followed_until_a_hand_goes_back(opened):
    page = opened(cell(epochs=40))
    main(page).click()
    page.wait_for_function("(time) => +document.querySelector(time).value >= 4", arg=TIME)
    scrub(page, 1)
    held = page.locator(".lrk-when").inner_text()
    page.wait_for_function("() => +document.querySelector('.lrk-progress progress').value >= 40")
    assert page.locator(".lrk-when").inner_text() == held
    page.get_by_role("button", name="To the end").click()
    page.wait_for_function("(time) => +document.querySelector(time).value >= 8", arg=TIME)
    page.get_by_role("button", name="Cancel").click()
    assert page.faults == []


def test_a_training_that_fails_says_so_and_keeps_what_it_has(opened):
    page = opened(cell(epochs=1, learning_rate=1e30))
    main(page).click()
    kernel_has(page, state="failed")
    page.get_by_text("training must have finite losses and gradients").wait_for()
    page.get_by_text("3 steps were undone: the loss or a gradient was not finite.").wait_for()
    assert ranks(page)[2] == ["rank 128"] and main(page).inner_text() == "Start again"


def recorded(tmp_path, kept, **facts):
    """The code of a cell that plays a small training out of a file."""
    ranks = np.array([[[8, 4]], [[6, 4]], [[6, 3]], [[5, 3]], [[5, 2]]])
    arrays = {
        "loss": np.linspace(2, 1, 5), "accuracy": np.array([0.1, np.nan, 0.5, np.nan, 0.8]),
        "tolerance": np.full(5, 0.1), "size": np.linspace(100, 60, 5), "ranks": ranks,
        "kept": np.full((5, 1, 2), kept),
        "values": np.tile(2.0 ** -np.arange(8), (5, 1, 2, 1)),
    }  # fmt: skip
    found = Trajectory(
        "played", np.arange(0, 50, 10), arrays, ("conv",), {"n_dense": 200, "limits": {"conv": [9, 9]}} | facts
    )
    write_arrays(tmp_path / "played.safetensors", *found.to_arrays())
    read = f"Trajectory.from_arrays(*read_arrays(Path({str(tmp_path / 'played.safetensors')!r})))"
    imports = (
        "from pathlib import Path\n\nfrom lowrank_kit import Trajectory\nfrom lowrank_kit.files import read_arrays\n"
    )
    return imports + KERNEL.format(player=f"TrainingPlayer({read})")


def test_a_recorded_training_says_where_and_when_and_is_only_played(opened, tmp_path):
    test = {"accuracy": 0.75, "interval": [0.7, 0.8], "n": 400, "n_params": 90, "change": [-0.01, -0.02, 0.005]}
    code = recorded(tmp_path, 0.2, recorded="2025-11-23, a fine processor", test=test)
    page = opened(code + '\nplayer.progress = {"undone": 2}')
    assert page.locator(".lrk-head p").inner_text().endswith("Recorded 2025-11-23, a fine processor")
    assert page.get_by_role("button").all_inner_texts()[:2] == ["日本語", "Replay"]
    assert main(page).count() == 0 and page.locator(TOLERANCE).count() == 0
    _, validation, outcome, kept = tiles(page)
    assert (validation["value"], validation["badge"]) == ("80.0%", "recorded")
    assert (outcome["value"], outcome["badge"]) == ("75.0%", "recorded")
    assert outcome["lines"] == ["[70.0%, 80.0%], n = 400", "−1.0 points [−2.0, +0.5] against dense"]
    assert (kept["value"], kept["lines"]) == (
        "20.0%",
        ["of those added, by this truncation", "tolerance 0.1, ceiling none"],
    )
    scrub(page, 1)
    assert ranks(page) == [["out 6", "in 4"]]
    assert tiles(page)[1]["value"] == "10.0%" and tiles(page)[1]["lines"][0] == "at step 0"
    page.wait_for_function("() => /^2 steps were undone/.test(document.querySelector('.lrk-words').textContent)")
    assert page.faults == []


def test_frozen_bases_are_told_in_words(opened, tmp_path):
    page = opened(recorded(tmp_path, 0.0))
    sentence = page.locator(".lrk-words")
    assert sentence.inner_text().startswith("The bases are frozen: in every layer fewer than 1 in 100")
    assert tiles(page)[3]["lines"][0] == "bases frozen: ranks can only fall" and tiles(page)[3]["value"] == "0.0%"
    scrub(page, 1)
    assert sentence.inner_text() == "", "two truncations say little"
    assert tiles(page)[2]["lines"][0] == "not recorded"
    page.set_viewport_size({"width": 400, "height": 900})
    frames(page)
    assert cut_off(page) <= 0


def test_a_view_that_opens_later_has_every_entry(browser, tmp_path):
    cells = [cell(epochs=1, tolerance=0.2), "player.start()\nplayer.wait()", "display(player)"]
    with in_lab(browser, write_notebook(tmp_path / "views.ipynb", *cells)) as page:
        page.wait_for_selector(f"{TIME} >> nth=1")
        page.wait_for_function(
            "(time) => [...document.querySelectorAll(time)].every((s) => s.value === '12')", arg=TIME
        )
        one, other = page.locator(TIME).nth(0), page.locator(TIME).nth(1)
        for hand, follower in ((one, other), (other, one)):
            hand.focus()
            page.keyboard.press("ArrowLeft")
            page.wait_for_function(
                "([slider, value]) => slider.value === value", arg=[follower.element_handle(), hand.input_value()]
            )


def frames(page):
    """Until what was done last has been painted."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def cut_off(page):
    """By how many pixels the player is wider than its place."""
    return page.evaluate("() => { const el = document.querySelector('.lrk'); return el.scrollWidth - el.clientWidth; }")


def main(page):
    return page.locator(".lrk-main")


def tiles(page):
    return page.locator(".lrk-tile").evaluate_all(
        """(all) => all.map((tile) => ({
          value: tile.querySelector(".lrk-value").textContent,
          badge: tile.querySelector(".lrk-badge").textContent,
          lines: [...tile.querySelectorAll(".lrk-line")].map((line) => line.textContent),
        }))"""
    )


def ranks(page):
    """The words beside each layer's name."""
    return page.locator(".lrk-title").evaluate_all(
        "(all) => all.map((title) => [...title.querySelectorAll('.lrk-mode')].map((mode) => mode.textContent))"
    )


def scrub(page, index):
    """As a key press or the end of a drag does."""
    page.locator(TIME).fill(str(index + 1))
    frames(page)


def drag(page, slider, share):
    box = page.locator(slider).bounding_box()
    middle = box["y"] + box["height"] / 2
    at = float(page.locator(slider).evaluate("(s) => (s.value - s.min) / (s.max - s.min)"))
    page.mouse.move(box["x"] + 9 + at * (box["width"] - 18), middle)
    page.mouse.down()
    page.mouse.move(box["x"] + share * box["width"], middle, steps=5)
    page.mouse.up()
    frames(page)


def cursor_places(page, count):
    """Where the line stands, a few times in a row."""
    places = []
    for _ in range(count):
        page.wait_for_timeout(120)
        places.append(page.locator(".lrk-cursor").first.evaluate("(line) => +line.getAttribute('x1')"))
    return places


def check_shown(page, reference, index):
    """Everything that follows the time slider, against the trajectory of the same training."""
    found = reference.trajectory
    step = found.steps[index]
    assert page.locator(".lrk-when").inner_text().startswith(f"step {step} of 55 · epoch {step / 55:.1f} of 1")
    assert page.locator(TIME).input_value() == str(index + 1)
    (out2, in2), (out3, in3), (rank, _) = found["ranks"][index].astype(int)
    assert ranks(page) == [[f"out {out2}", f"in {in2}"], [f"out {out3}", f"in {in3}"], [f"rank {rank}"]]
    params, validation, *_ = tiles(page)
    assert params["value"] == f"{int(found['size'][index]):,}"
    looked = max(np.flatnonzero(~np.isnan(found["accuracy"][: index + 1])))
    assert validation["value"] == f"{found['accuracy'][looked]:.1%}"
    assert validation["lines"][1] == f"at step {found.steps[looked]}"


def kernel_has(page, **expected):
    """Until the kernel holds these values."""
    page.wait_for_function(
        """(expected) => {
          const known = JSON.parse(document.querySelector(".kernel").textContent);
          return Object.entries(expected).every(([key, value]) => known[key] === value);
        }""",
        arg=json.loads(json.dumps(expected)),
    )


def _is_strange(url):
    return not re.match(r"(http|ws)://(127\.0\.0\.1|localhost)[:/]|data:|blob:", url)
