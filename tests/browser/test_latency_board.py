"""A hand on the latency board, in Voila and in JupyterLab, against the outlooks that Python finds."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.browser import in_lab, in_voila, write_notebook
from lowrank_kit.i18n import strings
from lowrank_kit.methods.outlook import network_outlook
from lowrank_kit.studies.catalogue import CATALOGUE
from tests.known_times import CPU, GPU, known_table

pytestmark = pytest.mark.browser

LAYER, FULL = "layer3.1.conv2", 256
SLIDER = "input[type=range][data-layer=rank]"
OPENED = {"voila": in_voila, "lab": in_lab}
TEXT = strings("latency", "en")
# A pass takes 2 ms dense and 1 ms cut, once the file is there. Below the board stands what the kernel knows of it.
CELL = """\
import json, sys, time
from pathlib import Path
import ipywidgets
import numpy as np
from IPython.display import display
sys.path.insert(0, {root!r})
from lowrank_kit.measurement import layer_times
from lowrank_kit.records import Timing
from lowrank_kit.widgets.latency_board import LatencyBoard
from tests.known_times import CPU, GPU, known_table

def time_layer(shape, plan, *, batch, dtype, layout, budget_s, stop):
    while not Path({go!r}).exists() and not stop():
        time.sleep(0.02)
    rounds = np.array([1, 0.9, 1.1, 1.2, 1])
    return tuple(Timing(s * rounds, batch, "here", dtype, layout, 3) for s in (2e-3, 1e-3))

layer_times.time_layer = time_layer
board = LatencyBoard(layer={layer!r}, tables=[known_table(CPU), known_table(GPU)])
kernel = ipywidgets.Label(json.dumps(board.setting))
kernel.add_class("kernel")
board.observe(lambda _: setattr(kernel, "value", json.dumps(board.setting)), "setting")
display(board, kernel)"""


@pytest.fixture(scope="module")
def look():
    """(network, method, batch, conditions) -> the outlooks on both devices."""
    tables = [known_table(device) for device in (CPU, GPU)]

    def outlooks(network="resnet50", method="svd", batch=1, conditions=(0, 0)):
        layers = [layer for layer in CATALOGUE if layer.network == network]
        return [
            network_outlook(layers, table, method, batch, table.conditions[at])
            for table, at in zip(tables, conditions, strict=True)
        ]

    return outlooks


@pytest.fixture(scope="module", params=OPENED)
def page(request, browser, tmp_path_factory):
    """The board, not timed yet: `page.go` is the file that lets the kernel time."""
    folder = tmp_path_factory.mktemp(request.param)
    go, root = folder / "go", str(Path(__file__).parents[2])
    notebook = write_notebook(folder / "board.ipynb", CELL.format(go=str(go), root=root, layer=LAYER))
    with OPENED[request.param](browser, notebook) as page:
        page.faults, page.strangers, page.go = [], [], go
        page.on("pageerror", lambda fault: page.faults.append(str(fault)))
        page.on("console", lambda said: page.faults.append(said.text) if said.type == "error" else None)
        page.on("request", lambda r: page.strangers.append(r.url) if _is_strange(r.url) else None)
        page.wait_for_selector(SLIDER)
        frames(page)
        page.first = seen(page)
        page.wait_for_function("() => !document.querySelector('.lrk-still')?.checkVisibility()")
        go.touch()
        timed(page)
        yield page


@pytest.fixture(autouse=True)
def from_the_start(page):
    start = {"Network": "resnet50", "Method": "svd", "Batch": "1", "Layer": LAYER}
    for name, value in start.items():
        chosen = combobox(page, name)
        if chosen.input_value() != value:
            chosen.select_option(value)
            settled(page)
    for device in (CPU, GPU):
        if conditions(page, device).input_value() != "0":
            conditions(page, device).select_option("0")
            settled(page)
    set_rank(page, 64)


def test_everything_known_is_painted_before_anything_is_timed(page, look):
    assert page.first["tiles"][1] == [TEXT["here"], "", "–", TEXT["measuring"], ""]
    found = expected(look(), LAYER, 64)
    assert page.first["tiles"][:1] + page.first["tiles"][2:] == found["tiles"]
    assert (page.first["verdicts"], page.first["strips"]) == (found["verdicts"], found["strips"])
    assert page.first["kinds"] == ["exact", "waiting", *["predicted", "recorded"] * 2]


def test_it_says_where_its_numbers_are_from(page):
    assert page.get_by_role("heading", name="resnet50: time at every rank").is_visible()
    assert LAYER in page.locator(".lrk-head p").inner_text()
    assert page.locator(".lrk-device h3").filter(has_text=re.compile("^a ")).all_inner_texts() == [CPU.name, GPU.name]
    for line in page.locator(".lrk-device > header p").all_inner_texts():
        assert line == "recorded 2026-01-02 · torch 2.9 · 9 in 10 of 24 held-out times predicted within 25%"


def test_a_timed_pass_is_told_with_its_interval(page):
    timed(page)
    here = ["2× faster", "1 ms instead of 2 ms", "[2, 2] · float32 · threads: 3"]
    assert seen(page)["tiles"][1] == [TEXT["here"], TEXT["measured"], *here]
    said = page.locator(".lrk-spoken").text_content()
    assert said == f"{TEXT['here']}: {here[0]}. {here[1]}"


def test_dragging_shows_what_python_says_at_every_rank_and_letting_go_times(page, look):
    outlooks, box = look(), page.locator(SLIDER).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.25 * box["width"], middle)
    page.mouse.down()
    ranks = []
    for step in range(12):
        page.mouse.move(box["x"] + box["width"] * (0.02 + 0.08 * step), middle)
        frames(page)
        ranks.append(rank(page))
        assert_shown(page, expected(outlooks, LAYER, ranks[-1]))
        assert seen(page)["tiles"][1][3] == TEXT["pending"]
    assert sorted(set(ranks)) == ranks and ranks[-1] > 220
    kernel_has(page, rank=ranks[-1], final=False)
    page.mouse.up()
    kernel_has(page, rank=ranks[-1], final=True)
    timed(page)
    assert_shown(page, expected(outlooks, LAYER, ranks[-1]))


@pytest.mark.parametrize("chosen", [1, 32, 33, 64, 128, 255])
def test_recorded_ranks_and_those_beside_them(page, look, chosen):
    set_rank(page, chosen)
    found = expected(look(), LAYER, chosen)
    assert_shown(page, found)
    nearest = {1: 32, 33: 32, 255: 128}.get(chosen)
    assert found["tiles"][2][4] == (f"timed at rank {nearest} of 256, the nearest" if nearest else "")


def test_every_part_of_a_strip_is_as_long_as_its_time_and_named(page, look):
    set_rank(page, 250)
    for d, outlook in enumerate(look()):
        share = 250 / FULL
        dense, cut = outlook.dense_s, outlook.foretold_s(share)
        room = max(dense.sum(), cut.sum())
        for kind, parts in enumerate((dense, cut)):
            cells = page.locator(".lrk-device").nth(d).locator(".lrk-strip").nth(kind).locator("button")
            widths = cells.evaluate_all("(all) => all.map((b) => parseFloat(b.style.width))")
            assert widths == pytest.approx(100 * parts / room, abs=1e-3)
            told = cells.evaluate_all("(all) => all.map((b) => b.ariaLabel)")
            verdicts = outlook.verdicts(share)
            assert told == [
                f"{named(one.layer)}: {TEXT[verdict]}, {pace(a / b)}"
                for one, verdict, a, b in zip(outlook.layers, verdicts, dense, cut, strict=True)
            ]
            marked = cells.evaluate_all("(all) => all.map((b) => b.dataset.verdict)")
            assert marked == (verdicts if kind else [""] * len(verdicts))
            pressed = cells.evaluate_all("(all) => all.filter((b) => b.ariaPressed === 'true').map((b) => b.ariaLabel)")
            assert len(pressed) == 1 and pressed[0].startswith(LAYER)


def test_the_ring_stands_at_the_rank_on_both_pictures(page, look):
    """From 42 to 426 units of 440 on the first."""
    set_rank(page, 128)
    for d, outlook in enumerate(look()):
        rings = page.locator(".lrk-device").nth(d).locator("circle.lrk-now")
        places = rings.evaluate_all("(all) => all.map((c) => [c.cx.baseVal.value, c.cy.baseVal.value])")
        assert places[0][0] == pytest.approx(42 + (426 - 42) / 2, abs=0.1)
        line = page.locator(".lrk-device").nth(d).locator("path.lrk-foretold")
        for at, path in zip(places, line.evaluate_all("(all) => all.map((p) => p.getAttribute('d'))"), strict=True):
            points = [tuple(map(float, pair.split(","))) for pair in re.split("[ML]", path)[1:]]
            assert len(points) == len(outlook[LAYER].ranks)
            assert points[outlook[LAYER].at(0.5)] == pytest.approx(at, abs=0.06)


def test_keys_move_the_rank_by_fine_and_coarse_steps(page, look):
    page.focus(SLIDER)
    page.keyboard.press("ArrowLeft")
    frames(page)
    assert rank(page) == 63
    assert page.locator(SLIDER).get_attribute("aria-valuetext") == "rank 63 of 256"
    assert_shown(page, expected(look(), LAYER, 63))
    kernel_has(page, rank=63, final=True)
    page.keyboard.press("PageUp")
    frames(page)
    assert rank(page) > 70
    page.keyboard.press("Home")
    frames(page)
    assert rank(page) == 1
    page.keyboard.press("End")
    frames(page)
    assert rank(page) == 255
    kernel_has(page, rank=255, final=True)


def test_a_rank_can_be_typed(page, look):
    typed = page.get_by_label("Rank: type a number")
    typed.fill("17")
    typed.press("Enter")
    frames(page)
    assert rank(page) == 17
    assert_shown(page, expected(look(), LAYER, 17))
    kernel_has(page, rank=17, final=True)


@pytest.mark.parametrize("wrong", ["0", "256", "2.5", ""])
def test_a_wrong_rank_gets_a_sentence_and_changes_nothing(page, look, wrong):
    typed = page.get_by_label("Rank: type a number")
    typed.fill(wrong)
    typed.press("Enter")
    frames(page)
    sentence = f"The rank of {LAYER} must be a whole number from 1 to 255; got {wrong or '–'}."
    assert page.get_by_role("status").filter(has_text=sentence).is_visible()
    assert rank(page) == 64
    assert_shown(page, expected(look(), LAYER, 64))
    typed.press("Tab")
    frames(page)
    assert typed.input_value() == "64"
    page.focus(SLIDER)
    page.keyboard.press("ArrowRight")
    frames(page)
    assert page.locator(".lrk-note").inner_text() == ""
    kernel_has(page, rank=65)


@pytest.mark.parametrize("d", [0, 1], ids=["processor", "GPU"])
def test_a_hand_on_the_staircase_sets_the_rank(page, look, d):
    picture = page.locator(".lrk-device").nth(d).locator("svg.lrk-drag")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 234 / 440, box["y"] + box["height"] / 2)
    page.mouse.down()
    frames(page)
    assert abs(rank(page) - 128) <= 1
    page.mouse.move(box["x"] + 2 * box["width"], box["y"], steps=3)
    frames(page)
    assert rank(page) == 255, "beyond the edge the last holds"
    page.mouse.move(box["x"] + box["width"] * 138 / 440, box["y"], steps=3)
    frames(page)
    now = rank(page)
    assert abs(now - 64) <= 1
    assert_shown(page, expected(look(), LAYER, now))
    page.mouse.up()
    kernel_has(page, rank=now, final=True)


def test_a_press_on_a_strip_chooses_a_layer_at_the_same_share(page, look):
    set_rank(page, 128)
    for d, (name, full) in enumerate((("layer1.0.conv2", 64), ("conv1", 64))):
        cell = page.locator(".lrk-device").nth(d).locator(".lrk-strip").nth(1).locator(f'[aria-label^="{name}"]')
        cell.first.click()
        frames(page)
        assert combobox(page, "Layer").input_value() == name
        assert rank(page) == full // 2 and page.locator(SLIDER).get_attribute("max") == str(full - 1)
        assert_shown(page, expected(look(), name, full // 2))
        kernel_has(page, layer=name, rank=full // 2, final=True)
        timed(page)


def test_a_layer_is_chosen_by_its_name(page, look):
    chosen = combobox(page, "Layer")
    texts = chosen.locator("option").all_inner_texts()
    assert texts == [named(layer) for layer in CATALOGUE if layer.network == "resnet50"]
    chosen.select_option("fc")
    frames(page)
    assert (rank(page), page.locator(SLIDER).get_attribute("max")) == (250, "999")
    assert_shown(page, expected(look(), "fc", 250))
    kernel_has(page, layer="fc", rank=250)


@pytest.mark.parametrize("network", ["vgg16", "vit-b16", "bert-base"])
def test_another_network_is_shown_at_its_longest_layer(page, look, network):
    assert combobox(page, "Network").locator("option").count() == 4
    combobox(page, "Network").select_option(network)
    settled(page)
    outlooks = look(network)
    name = max(outlooks[0].layers, key=lambda one: one.layer.count * one.dense_s).layer.name
    full = outlooks[0][name].layer.shape.full_ranks("svd")[0]
    kernel_has(page, network=network, layer=name, rank=full // 4, final=True)
    assert (combobox(page, "Layer").input_value(), rank(page)) == (name, full // 4)
    assert page.get_by_role("heading", name=f"{network}: time at every rank").is_visible()
    found = expected(outlooks, name, full // 4)
    assert_shown(page, found)
    assert found["tiles"][2][2:] == ["–", TEXT["not_recorded"], ""]
    set_rank(page, full - 1)
    assert_shown(page, expected(outlooks, name, full - 1))


def test_another_method_keeps_the_rank_or_takes_a_quarter(page, look):
    methods = combobox(page, "Method")
    assert methods.locator("option").all_inner_texts() == ["SVD", "spatial SVD", "Tucker-2"]
    methods.select_option("spatial")
    settled(page)
    assert_shown(page, expected(look(method="spatial"), LAYER, 64))
    set_rank(page, 700)
    assert_shown(page, expected(look(method="spatial"), LAYER, 700))
    methods.select_option("tucker")
    settled(page)
    kernel_has(page, method="tucker", rank=64, layer=LAYER)
    assert rank(page) == 64 and page.locator(SLIDER).get_attribute("max") == "255"
    assert page.locator(SLIDER).get_attribute("aria-valuetext") == "out 64 × in 64"
    assert_shown(page, expected(look(method="tucker"), LAYER, 64))
    assert page.locator(".lrk-drag").nth(0).get_by_text("rank of the outputs").is_visible()
    timed(page)


def test_another_batch_is_looked_at_and_what_takes_too_long_not_timed(page, look):
    batches = combobox(page, "Batch")
    assert batches.locator("option").all_inner_texts() == ["1", "32", "256"]
    batches.select_option("32")
    settled(page)
    assert_shown(page, expected(look(batch=32), LAYER, 64))
    timed(page)
    batches.select_option("256")
    settled(page)
    assert_shown(page, expected(look(batch=256), LAYER, 64))
    page.get_by_text(TEXT["too_much"]).wait_for()
    kernel_has(page, batch=256, rank=64)


def test_a_device_can_be_looked_at_under_other_conditions(page, look):
    for device, at, both in ((GPU, 1, (0, 1)), (CPU, 2, (2, 1)), (CPU, 1, (1, 1))):
        chosen = conditions(page, device)
        assert chosen.locator("option").all_inner_texts() == list(map(str, device.conditions))
        chosen.focus()
        chosen.select_option(str(at))
        settled(page)
        kernel_has(page, conditions=list(both), rank=64)
        assert_shown(page, expected(look(conditions=both), LAYER, 64))
        assert conditions(page, device).input_value() == str(at)
        assert conditions(page, device).evaluate("(s) => s === document.activeElement"), "keys go on where they were"
    timed(page)


def test_dtypes_here_are_those_of_the_processor(page):
    conditions(page, CPU).select_option("2")
    settled(page)
    page.get_by_text("[2, 2] · bfloat16 · threads: 3").wait_for()


def test_the_language_switches_both_ways(page, look):
    words = strings("latency", "ja")
    page.get_by_role("button", name="日本語").click()
    page.get_by_role("heading", name=words["title_one"].format(network="resnet50")).wait_for()
    frames(page)
    assert page.locator(".lrk").get_attribute("lang") == "ja"
    assert page.get_by_role("slider", name=words["rank"], exact=True).input_value() == "64"
    assert seen(page)["verdicts"] == [
        words[f"verdict_{found[LAYER].verdicts[found[LAYER].at(0.25)]}"].format(tile=device.tile)
        for device, found in zip((CPU, GPU), look(), strict=True)
    ]
    assert "undefined" not in page.locator(".lrk").inner_html()
    assert page.get_by_role("combobox", name=words["method"]).locator("option").all_inner_texts() == [
        words["svd"], words["spatial"], words["tucker"],
    ]  # fmt: skip
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="resnet50: time at every rank").wait_for()
    frames(page)
    assert_shown(page, expected(look(), LAYER, 64))
    assert "undefined" not in page.locator(".lrk").inner_html()


def test_every_control_is_reached_by_tab_and_has_a_name(page):
    controls = page.locator('.lrk :is(button, input, select):not([tabindex="-1"])')
    page.get_by_role("button", name="日本語").focus()
    reached = []
    for _ in range(controls.count()):
        reached.append(
            page.evaluate("""() => {
              const at = document.activeElement;
              const name = at.ariaLabel ?? at.labels?.[0]?.firstChild.textContent ?? at.textContent;
              return [name, at.checkVisibility(), getComputedStyle(at).outlineStyle];
            }""")
        )
        page.keyboard.press("Tab")
    names = [name for name, *_ in reached]
    assert names[:7] == ["日本語", "Network", "Layer", "Method", "Batch", "Rank", "Rank: type a number"]
    layers = [named(layer) for layer in CATALOGUE if layer.network == "resnet50"]
    for start, device in ((7, CPU), (8 + len(layers), GPU)):
        assert names[start] == f"Run as, {device.name}"
        cells = names[start + 1 : start + 1 + len(layers)]
        assert [cell.split(": ")[0] for cell in cells] == layers
    assert len(names) == 9 + 2 * len(layers)
    assert all(visible and outline == "solid" for _, visible, outline in reached[1:])


def test_pictures_are_named(page):
    names = page.locator(".lrk svg").evaluate_all("(all) => all.map((s) => [s.getAttribute('role'), s.ariaLabel])")
    assert names == [["img", f"{name}, {LAYER}"] for name in (TEXT["staircase"], TEXT["roofline"])] * 2


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("width", [760, 1360])
def test_no_text_is_cut_off(page, width, language):
    """Also at a rank with the longest words, of a layer without records."""
    before = page.viewport_size
    if language == "ja":
        page.get_by_role("button", name="日本語").click()
        page.get_by_role("button", name="English").wait_for()
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(200)
    try:
        over = []
        for chosen in (1, 64, 255):
            set_rank(page, chosen)
            over += page.evaluate("""() => {
              const board = document.querySelector(".lrk"), edge = board.getBoundingClientRect().right + 1;
              const parts = [...board.querySelectorAll("*")].filter((part) => !part.closest(".lrk-strip, .lrk-spoken"));
              const cut = (part) => getComputedStyle(part).overflow === "hidden" && part.scrollWidth > part.clientWidth;
              return parts.filter((part) => part.getBoundingClientRect().right > edge || cut(part)).map((part) =>
                `${part.className.baseVal ?? part.className}: ${part.textContent}`);
            }""")
            assert (
                page.evaluate(
                    "() => { const b = document.querySelector('.lrk'); return b.scrollWidth - b.clientWidth; }"
                )
                <= 0
            )
    finally:
        page.set_viewport_size(before)
        if language == "ja":
            page.get_by_role("button", name="English").click()
            page.get_by_role("button", name="日本語").wait_for()
    assert over == []


def test_colours_follow_a_dark_page(page):
    style = "getComputedStyle(document.querySelector('{}')).{}"
    asked = [
        style.format(*pair) for pair in ((".lrk", "backgroundColor"), (".lrk-timed", "stroke"), (".lrk-now", "fill"))
    ]
    light = [page.evaluate(one) for one in asked]
    names = {"--jp-layout-color1": "#111", "--jp-ui-font-color1": "#eee"}
    around = page.locator(".lrk").locator("..")
    around.evaluate("(e, all) => Object.entries(all).forEach(([n, v]) => e.style.setProperty(n, v))", names)
    dark = [page.evaluate(one) for one in asked]
    around.evaluate("(e, all) => Object.keys(all).forEach((n) => e.style.removeProperty(n))", names)
    assert dark == ["rgb(17, 17, 17)", "rgb(238, 238, 238)", "rgb(17, 17, 17)"]
    assert all(one != other for one, other in zip(light, dark, strict=True))


def test_another_board_on_the_page_changes_nothing(page, moved_by_others):
    timed(page)  # what is timed meanwhile comes with a badge
    assert moved_by_others(page) == []


def test_nothing_fails_and_nothing_is_fetched_from_elsewhere(page):
    assert page.faults == []
    assert page.strangers == []


def frames(page):
    """Until what was done last has been painted."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def combobox(page, name):
    return page.get_by_role("combobox", name=name, exact=True)


def conditions(page, device):
    return combobox(page, f"Run as, {device.name}")


def settled(page):
    """Until the page shows the network, layer, method, batch and conditions that the kernel has answered with."""
    page.wait_for_function("""() => {
      const known = JSON.parse(document.querySelector(".kernel").textContent);
      const shown = [...document.querySelectorAll(".lrk-choices select")].map((s) => s.value);
      const chosen = [...document.querySelectorAll(".lrk-device header select")].map((s) => +s.value);
      return shown.join() === [known.network, known.layer, known.method, known.batch].join()
        && chosen.join() === known.conditions.join()
        && +document.querySelector("input[type=range]").value === known.rank
        && document.querySelector(".lrk-head h2").textContent.startsWith(known.network);
    }""")
    timed(page, patient=False)
    frames(page)


def timed(page, patient=True):
    """Until this machine's time stands there, or it is told that there will be none."""
    kinds = "['measured', 'busy']" if patient else "['measured', 'busy', 'waiting']"
    page.wait_for_function(f"() => {kinds}.includes(document.querySelectorAll('.lrk-tile')[1].dataset.kind)")
    page.wait_for_function(
        "(words) => document.querySelectorAll('.lrk-tile')[1].querySelector('.lrk-line').textContent !== words",
        arg=TEXT["measuring"],
    )


def rank(page):
    return int(page.locator(SLIDER).input_value())


def set_rank(page, value):
    """As a key press or the end of a drag does."""
    page.locator(SLIDER).fill(str(value))
    frames(page)
    assert rank(page) == value


def kernel_has(page, **expected):
    """Until the kernel's setting holds these values."""
    page.wait_for_function(
        """(expected) => {
          const known = JSON.parse(document.querySelector(".kernel").textContent);
          return Object.entries(expected).every(([key, value]) => JSON.stringify(known[key]) === JSON.stringify(value));
        }""",
        arg=json.loads(json.dumps(expected)),
    )


def seen(page):
    """Everything that is said: tiles, verdicts, sums of the strips."""
    return page.evaluate("""() => {
      const texts = (root, what) => [...root.querySelectorAll(what)].map((part) => part.textContent);
      const tiles = [...document.querySelectorAll(".lrk-tile")];
      return {
        tiles: tiles.map((tile) => texts(tile, "h3, .lrk-badge, .lrk-value, .lrk-line")),
        kinds: tiles.map((tile) => tile.dataset.kind),
        verdicts: texts(document, ".lrk-judged"),
        marks: [...document.querySelectorAll(".lrk-judged")].map((part) => part.dataset.verdict),
        strips: [...document.querySelectorAll(".lrk-strips")].map((one) => texts(one, ".lrk-facts").slice(0, 2)),
        rank: document.querySelector(".lrk-rankrow .lrk-share").textContent,
      };
    }""")


def assert_shown(page, found):
    """All but what was timed here."""
    now = seen(page)
    now["tiles"].pop(1)
    now["kinds"].pop(1)
    assert now == found


def expected(outlooks, layer, rank):
    """The same words, from what Python knows."""
    first = outlooks[0][layer]
    full = first.layer.shape.full_ranks(first.method)
    share = rank / full[0]
    at = first.at(share)
    macs = TEXT["macs_of"].format(part=compact(first.macs[at]), total=compact(first.dense_macs))
    moved = TEXT["moved_of"].format(part=compact(first.moved[at]), total=compact(first.dense_moved))
    tiles = [[TEXT["macs"], "", less(first.dense_macs / first.macs[at]), macs, moved]]
    kinds, verdicts, marks, strips = ["exact"], [], [], []
    for outlook, device in zip(outlooks, (CPU, GPU), strict=True):
        one = outlook[layer]
        i = one.at(share)
        times = TEXT["instead"].format(time=time_text(one.foretold_s[i]), dense=time_text(one.dense_s))
        bound = TEXT["bound_is"].format(x=digits(one.dense_bound_s / one.bound_s[i], 2))
        tiles += [[device.name, TEXT["predicted"], pace(one.dense_s / one.foretold_s[i]), times, bound]]
        tiles += [[device.name, *recorded(one, i)]]
        kinds += ["predicted", "recorded" if len(one.timed) and one.dense_timed else "waiting"]
        marks += [one.verdicts[i]]
        verdicts += [TEXT[f"verdict_{one.verdicts[i]}"].format(tile=device.tile)]
        dense, cut = outlook.dense_s.sum(), outlook.foretold_s(share).sum()
        told = {"share": f"{int(100 * share + 0.5)}%", "time": time_text(cut), "pace": pace(dense / cut)}
        sums = TEXT["strip_cut"].format(**told, macs=less(outlook.saved_macs(share)))
        strips += [[TEXT["strip_dense"].format(time=time_text(dense)), sums]]
    row = f"{spoken(first, at)} · {int(100 * share + 0.5)}%"
    return {"tiles": tiles, "kinds": kinds, "verdicts": verdicts, "marks": marks, "strips": strips, "rank": row}


def recorded(one, index):
    """Badge, value and lines of the recorded rank that is nearest."""
    if not len(one.timed) or one.dense_timed is None:
        return ["", "–", TEXT["not_recorded"], ""]
    k = min(range(len(one.timed)), key=lambda k: abs(one.shares[one.timed[k]] - one.shares[index]))
    time, dense = one.medians[k], one.dense_timed[0]
    where = "" if one.timed[k] == index else TEXT["nearest"].format(rank=spoken(one, one.timed[k]))
    times = TEXT["instead"].format(time=time_text(time), dense=time_text(dense))
    return [TEXT["recorded"].format(date="2026-01-02"), pace(dense / time), times, where]


def spoken(one, index):
    ranks = one.ranks[index].tolist()
    if len(ranks) == 2:
        return TEXT["pair_of"].format(rank=ranks[0], inputs=ranks[1])
    return TEXT["rank_of"].format(rank=ranks[0], full=one.layer.shape.full_ranks(one.method)[0])


def named(layer):
    return layer.name if layer.count == 1 else TEXT["times_layer"].format(layer=layer.name, count=layer.count)


def digits(value, n):
    text = f"{float(f'{value:.{n}g}'):,.12f}"
    return text.rstrip("0").rstrip(".")


def compact(value):
    size, letter = next(((s, c) for s, c in ((1e9, "B"), (1e6, "M"), (1e3, "K")) if value >= s), (1, ""))
    return digits(value / size, 3) + letter


def time_text(seconds):
    size, unit = next(((s, u) for s, u in ((1, "s"), (1e-3, "ms")) if seconds >= s), (1e-6, "µs"))
    return f"{digits(seconds / size, 3)} {unit}"


def pace(speed):
    if abs(speed - 1) < 0.05:
        return TEXT["same"]
    return (
        TEXT["faster_by"].format(x=digits(speed, 2)) if speed > 1 else TEXT["slower_by"].format(x=digits(1 / speed, 2))
    )


def less(saved):
    if abs(saved - 1) < 0.005:
        return TEXT["as_many"]
    return TEXT["fewer"].format(x=digits(saved, 2)) if saved > 1 else TEXT["more"].format(x=digits(1 / saved, 2))


def _is_strange(url):
    return not re.match(r"(http|ws)://(127\.0\.0\.1|localhost)[:/]|data:|blob:", url)
