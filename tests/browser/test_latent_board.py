"""A hand on the latent board, in Voila and in JupyterLab, against the plain Python calls."""

import json
import re

import numpy as np
import pytest

from benchmarks.browser import in_lab, in_voila, write_notebook
from lowrank_kit.i18n import strings
from lowrank_kit.widgets.latent_board import LatentBoard

pytestmark = pytest.mark.browser

NAME, LAYER, FULL = "mnist-cnn", "conv3", 128
SLIDER = "input[type=range][data-layer=rank]"
OPENED = {"voila": in_voila, "lab": in_lab}
# Below the board stands what the kernel knows of it.
CELL = f"""\
import json

import ipywidgets
from IPython.display import display
from lowrank_kit import LatentBoard

board = LatentBoard("{NAME}", layer="{LAYER}")
kernel = ipywidgets.Label(json.dumps(board.setting))
kernel.add_class("kernel")
board.observe(lambda change: setattr(kernel, "value", json.dumps(change.new)), "setting")
display(board, kernel)"""


@pytest.fixture(scope="module")
def reference():
    """The same board, without a browser."""
    board = LatentBoard(NAME, layer=LAYER)
    yield board
    board.close()


@pytest.fixture(scope="module", params=OPENED)
def page(request, browser, tmp_path_factory):
    """The board, once its layer is measured."""
    notebook = write_notebook(tmp_path_factory.mktemp(request.param) / "board.ipynb", CELL)
    with OPENED[request.param](browser, notebook) as page:
        page.faults, page.strangers = [], []
        page.on("pageerror", lambda fault: page.faults.append(str(fault)))
        page.on("console", lambda said: page.faults.append(said.text) if said.type == "error" else None)
        page.on("request", lambda r: page.strangers.append(r.url) if _is_strange(r.url) else None)
        page.wait_for_selector(SLIDER)
        measured(page)
        yield page


@pytest.fixture(autouse=True)
def from_the_start(page):
    page.get_by_role("button", name=LAYER, exact=True).click()
    frames(page)
    assert rank(page) == FULL


def test_the_board_is_painted(page):
    assert page.get_by_role("heading", name=NAME, exact=True).is_visible()
    assert "240 test examples" in page.locator(".lrk-head p").inner_text()
    assert titles(page)[:2] == ["Kept: directions 1 and 2", "Cut: nothing"]
    set_rank(page, 40)
    for cloud in (0, 1):
        columns, rows = inked(page, cloud)
        assert np.ptp(columns) > 250 and np.ptp(rows) > 250


def test_the_picked_example_is_shown_as_it_is(page, reference):
    number = picked(page)
    pixels = page.locator("canvas.lrk-image").evaluate(
        "(c) => [...c.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0)"
    )
    np.testing.assert_array_equal(pixels, np.round(255 * reference.tables.images[number]).ravel())


@pytest.mark.parametrize("kept", [1, 3, 17, 90, FULL])
def test_the_numbers_are_those_of_the_plain_calls(page, reference, kept):
    set_rank(page, kept)
    reference.set_rank(kept)
    dense = reference.tables.accuracy(reference.tables.dense)
    expected = f"{reference.accuracy:.1%} of 240 right at this rank; {dense:.1%} when dense"
    assert page.locator(".lrk-share").inner_text() == expected
    number = picked(page)
    probabilities = reference.probabilities[number]
    shown = page.locator(".lrk-portrait svg text").all_text_contents()
    assert [text for text in shown if "%" in text] == [f"{p:.0%}" for p in probabilities]
    read, label = probabilities.argmax(), reference.tables.labels[number]
    assert page.locator(".lrk-verdict").inner_text() == f"is read as {read}: {'right' if read == label else 'wrong'}"
    share = reference.tables[LAYER].share(kept)
    facts = page.locator(".lrk-facts").all_inner_texts()
    assert facts[0] == f"{share:.1%} of what the layer reads lies in the {kept} kept"
    assert facts[1] == (
        "" if kept == FULL else f"{1 - share:.1%} of what the layer reads lies in the {FULL - kept} cut"
    )


def test_keys_move_the_rank_and_the_kernel_follows(page):
    page.focus(SLIDER)
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    frames(page)
    assert rank(page) == 125
    assert titles(page)[:2] == ["Kept: directions 1 and 2", "Cut: directions 126 and 127"]
    assert page.locator(SLIDER).get_attribute("aria-valuetext") == "rank 125 of 128"
    assert page.get_by_label("Rank", exact=True).input_value() == "125"
    kernel_has(page, layer=LAYER, rank=125, final=True)
    page.keyboard.press("PageDown")
    frames(page)
    assert rank(page) < 120
    kernel_has(page, rank=rank(page), final=True)


def test_at_rank_1_the_kept_cloud_lies_on_a_line(page):
    page.focus(SLIDER)
    page.keyboard.press("Home")
    frames(page)
    assert rank(page) == 1
    assert titles(page)[:2] == ["Kept: direction 1", "Cut: directions 2 and 3"]
    columns, rows = inked(page, 0)
    assert np.ptp(columns) > 250 and np.ptp(rows) < 30
    assert np.ptp(inked(page, 1)[1]) > 250


def test_at_full_rank_the_cut_cloud_is_empty(page):
    set_rank(page, 5)
    page.focus(SLIDER)
    page.keyboard.press("End")
    frames(page)
    assert titles(page)[1] == "Cut: nothing"
    assert len(inked(page, 1)[0]) == 0 and len(inked(page, 0)[0]) > 0
    assert page.locator("canvas.lrk-cloud").nth(1).get_attribute("aria-label").startswith("Cut: nothing")
    number = picked(page)
    page.locator("canvas.lrk-cloud").nth(1).click(position={"x": 90, "y": 90})
    frames(page)
    assert picked(page) == number, "there is nothing to pick"


def test_a_single_direction_that_is_cut_is_named_alone(page):
    set_rank(page, FULL - 1)
    assert titles(page)[1] == "Cut: direction 128"
    columns, rows = inked(page, 1)
    assert np.ptp(columns) > 250 and np.ptp(rows) < 30


def test_dragging_paints_every_rank_and_letting_go_settles(page):
    box = page.locator(SLIDER).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 9, middle)
    page.mouse.down()
    painted = []
    for step in range(1, 12):
        page.mouse.move(box["x"] + box["width"] * (1 - 0.07 * step), middle)
        frames(page)
        painted.append((rank(page), titles(page)[1]))
    assert [title for _, title in painted] == [f"Cut: directions {r + 1} and {r + 2}" for r, _ in painted]
    assert sorted({r for r, _ in painted}, reverse=True) == [r for r, _ in painted]
    kernel_has(page, rank=painted[-1][0], final=False)
    page.mouse.up()
    kernel_has(page, rank=painted[-1][0], final=True)
    assert rank(page) == painted[-1][0]


def test_a_rank_can_be_typed(page):
    typed = page.get_by_label("Rank", exact=True)
    typed.fill("17")
    typed.press("Enter")
    frames(page)
    assert rank(page) == 17 and titles(page)[1] == "Cut: directions 18 and 19"
    kernel_has(page, rank=17, final=True)


@pytest.mark.parametrize("wrong", ["0", "129", "2.5", ""])
def test_a_wrong_rank_gets_a_sentence_and_changes_nothing(page, wrong):
    set_rank(page, 20)
    typed = page.get_by_label("Rank", exact=True)
    typed.fill(wrong)
    typed.press("Enter")
    frames(page)
    sentence = f"The rank of conv3 must be a whole number between 1 and 128; got {wrong or '–'}."
    assert page.get_by_role("status").filter(has_text=sentence).is_visible()
    assert rank(page) == 20 and titles(page)[1] == "Cut: directions 21 and 22"
    kernel_has(page, rank=20)
    typed.press("Tab")
    frames(page)
    assert typed.input_value() == "20"
    page.focus(SLIDER)
    page.keyboard.press("ArrowRight")
    frames(page)
    assert page.locator(".lrk-note").inner_text() == ""


@pytest.mark.parametrize("cloud", [0, 1])
def test_a_click_picks_the_nearest_example(page, reference, cloud):
    set_rank(page, 6)
    canvas = page.locator("canvas.lrk-cloud").nth(cloud)
    size = canvas.evaluate("(c) => c.clientWidth")
    z = reference.tables[LAYER].coordinates[:, [0, 1] if cloud == 0 else [6, 7]].astype(float)
    share = (z - z.min(axis=0)) / np.ptp(z, axis=0)
    places = np.stack([16 + share[:, 0] * (size - 32), size - 16 - share[:, 1] * (size - 32)], axis=1)
    for example in (3, 100, 239):
        x, y = np.round(places[example] + [2, -1])
        nearest = np.square(places - [x, y]).sum(axis=1)
        expected = int(nearest.argmin())
        # The border of a canvas is one pixel wide, from where Playwright counts.
        canvas.click(position={"x": float(x) + 1, "y": float(y) + 1})
        frames(page)
        assert titles(page)[2] == f"Example {expected}: class {reference.tables.labels[expected]}"
        kernel_has(page, picked=expected, rank=6)


def test_a_right_click_picks_nothing(page):
    canvas = page.locator("canvas.lrk-cloud").nth(0)
    box, found = canvas.bounding_box(), {0: [], 2: []}
    for button, seen in found.items():
        for inside in (30, 300):
            place = {"clientX": box["x"] + inside, "clientY": box["y"] + inside}
            canvas.dispatch_event("pointerdown", {"button": button, **place})
            frames(page)
            seen.append(picked(page))
    assert found[0][0] != found[0][1]
    assert found[2] == [found[0][1]] * 2


def test_buttons_go_through_the_examples_and_around(page, reference):
    start = picked(page)
    forwards, back = (page.get_by_role("button", name=f"{name} example") for name in ("next", "previous"))
    forwards.click()
    frames(page)
    assert picked(page) == (start + 1) % 240
    back.focus()
    for _ in range((start + 2) if start < 20 else 2):
        page.keyboard.press("Enter")
    frames(page)
    number = picked(page)
    assert number == (239 if start < 20 else start - 1)
    assert titles(page)[2] == f"Example {number}: class {reference.tables.labels[number]}"
    kernel_has(page, picked=number)


def test_a_layer_is_chosen_by_keyboard(page, reference):
    set_rank(page, 20)
    chip = page.get_by_role("button", name="head", exact=True)
    chip.focus()
    page.keyboard.press("Space")
    frames(page)
    pressed = page.locator(".lrk-chips button").evaluate_all("(all) => all.map((b) => [b.textContent, b.ariaPressed])")
    assert dict(pressed) == {name: str(name == "head").lower() for name in ("conv1", "conv2", "conv3", "fc1", "head")}
    assert page.locator(SLIDER).get_attribute("max") == "10"
    assert page.locator(SLIDER).get_attribute("aria-valuetext") == "rank 10 of 10"
    assert page.get_by_role("slider", name="Rank of head").count() == 1
    kernel_has(page, layer="head", rank=10)
    measured(page)
    set_rank(page, 3)
    reference.set_layer("head")
    reference.set_rank(3)
    assert page.locator(".lrk-share").inner_text().startswith(f"{reference.accuracy:.1%} of 240")
    reference.set_layer(LAYER)


def test_every_control_is_reached_by_tab_and_has_a_visible_name(page):
    controls = page.locator(".lrk :is(button, input, select)")
    controls.first.focus()
    reached = []
    for _ in range(controls.count()):
        reached.append(
            page.evaluate("""() => {
              const at = document.activeElement;
              return [at.tagName, at.type, at.getAttribute('aria-label') ?? at.textContent, at.checkVisibility(),
                getComputedStyle(at).outlineStyle];
            }""")
        )
        page.keyboard.press("Tab")
    names = [name for *_, name, _, _ in reached]
    assert names == [
        "日本語", "conv1", "conv2", "conv3", "fc1", "head", "Rank of conv3", "Rank", "previous example", "next example",
    ]  # fmt: skip
    assert all(visible and outline == "solid" for *_, visible, outline in reached[1:])
    # The two fields of the rank have their word beside them; the buttons show theirs.
    assert page.locator(".lrk-row").get_by_text("Rank", exact=True).is_visible()


def test_the_language_switches_both_ways(page):
    set_rank(page, 20)
    words = strings("latent", "ja")
    page.get_by_role("button", name="日本語").click()
    page.get_by_role("heading", name=words["kept_title"], exact=True).wait_for()
    assert titles(page)[1] == words["cut_title"].format(first=21, last=22)
    assert page.get_by_role("button", name=words["next"]).is_visible()
    assert page.get_by_role("slider", name=words["layer_rank"].format(layer=LAYER)).input_value() == "20"
    assert page.locator(".lrk").get_attribute("lang") == "ja"
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="Kept: directions 1 and 2", exact=True).wait_for()
    assert rank(page) == 20


def test_another_theme_repaints_the_clouds(page):
    inks = []
    for colour in ("rgb(230, 230, 230)", ""):
        page.evaluate("(ink) => document.body.style.setProperty('--jp-ui-font-color1', ink)", colour)
        frames(page)
        inks.append(page.locator("canvas.lrk-cloud").nth(0).evaluate("(c) => c.toDataURL()"))
    assert inks[0] != inks[1]


def test_clouds_are_as_sharp_as_the_screen_in_a_narrow_page_too(page):
    before = page.viewport_size
    page.set_viewport_size({"width": 760, "height": 900})
    try:
        for _ in range(2):
            frames(page)
        sizes = page.locator("canvas.lrk-cloud").evaluate_all("(all) => all.map((c) => [c.width, c.clientWidth])")
        assert all(abs(width - shown) <= 1 for width, shown in sizes)
        wide = page.evaluate(
            "() => document.querySelector('.lrk').scrollWidth - document.querySelector('.lrk').clientWidth"
        )
        assert wide <= 0
    finally:
        page.set_viewport_size(before)
        frames(page)


def test_nothing_fails_and_nothing_is_fetched_from_elsewhere(page):
    assert page.faults == []
    assert page.strangers == []


def frames(page):
    """Until what was done last has been painted."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def measured(page):
    """Until the present rank is measured; a layer that is chosen is whole, the last that is measured of it."""
    page.wait_for_function(
        "(words) => document.querySelector('.lrk-share').textContent !== words",
        arg=strings("latent", "en")["measuring"],
    )
    frames(page)


def rank(page):
    return int(page.locator(SLIDER).input_value())


def set_rank(page, value):
    """As a key press or the end of a drag does."""
    page.locator(SLIDER).fill(str(value))
    frames(page)
    assert rank(page) == value


def titles(page):
    return page.locator(".lrk-chart h3").all_inner_texts()


def picked(page):
    return int(re.match(r"Example (\d+): class \d$", titles(page)[2])[1])


def kernel_has(page, **expected):
    """Until the kernel's setting holds these values."""
    page.wait_for_function(
        """(expected) => {
          const known = JSON.parse(document.querySelector(".kernel").textContent);
          return Object.entries(expected).every(([key, value]) => known[key] === value);
        }""",
        arg=json.loads(json.dumps(expected)),
    )


def inked(page, cloud):
    """Columns and rows (CSS pixels) of all pixels of a cloud that are drawn on."""
    found = (
        page.locator("canvas.lrk-cloud")
        .nth(cloud)
        .evaluate(
            """(c) => {
          const { width, height } = c, { data } = c.getContext("2d").getImageData(0, 0, width, height);
          const found = Array.from({ length: width * height }, (_, i) => i).filter((i) => data[4 * i + 3] > 0);
          const scale = c.clientWidth / width;
          return [found.map((i) => (i % width) * scale), found.map((i) => Math.floor(i / width) * scale)];
        }"""
        )
    )
    return [np.array(values) for values in found]


def _is_strange(url):
    return not re.match(r"(http|ws)://(127\.0\.0\.1|localhost)[:/]|data:|blob:", url)
