"""A hand on the Tucker board, in Voila and in JupyterLab, against the plain Python calls."""

import re

import pytest

import lowrank_kit as kit
from benchmarks.browser import in_lab, in_voila, write_notebook
from lowrank_kit.files import read_arrays, shipped
from lowrank_kit.i18n import strings
from lowrank_kit.records import TuckerTables

pytestmark = pytest.mark.browser

NAME = "mnist-cnn"
OUT, IN = (f'input[type=range][data-layer="conv2 {side}"]' for side in ("outputs", "inputs"))
FULL = {"conv1": (32, 1), "conv2": (64, 32), "conv3": (128, 64)}
OPENED = {"voila": in_voila, "lab": in_lab}


@pytest.fixture(scope="module", params=OPENED)
def page(request, browser, tmp_path_factory):
    """The board of a small network, once its first measurement is there."""
    cell = f'from lowrank_kit import TuckerBoard\n\nTuckerBoard("{NAME}")'
    notebook = write_notebook(tmp_path_factory.mktemp(request.param) / "board.ipynb", cell)
    with OPENED[request.param](browser, notebook) as page:
        page.faults, page.strangers = [], []
        page.on("pageerror", lambda fault: page.faults.append(str(fault)))
        page.on("request", lambda r: page.strangers.append(r.url) if _is_strange(r.url) else None)
        page.wait_for_selector(".lrk-tile")
        measured(page)
        yield page


@pytest.fixture(scope="module")
def tables():
    return TuckerTables.from_arrays(*read_arrays(shipped("data", NAME, "tucker.safetensors")))


@pytest.fixture(autouse=True)
def from_the_start(page):
    page.get_by_role("button", name="Reset").click()
    measured(page)


@pytest.mark.parametrize(("slider", "full"), [(OUT, 64), (IN, 32)], ids=["outputs", "inputs"])
def test_dragging_paints_predictions_and_letting_go_measures(page, slider, full):
    box = box_of(page, page.locator(slider))
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 9, middle)
    page.mouse.down()
    painted = set()
    for step in range(1, 12):
        page.mouse.move(box["x"] + box["width"] * (1 - 0.07 * step), middle)
        page.wait_for_function(
            f"(s) => document.querySelector(s).getAttribute('aria-valuetext')"
            f".startsWith(`rank ${{document.querySelector(s).value}} of {full}, `)",
            arg=slider,
        )
        painted.add((kind(page, 2), facts(page, 2)))
    assert {how for how, _ in painted} == {"predicted"}
    assert len(painted) >= 8, "the picture must move with the hand"
    page.mouse.up()
    measured(page)
    assert ranks(page) != FULL
    assert shown(page) == expected(page)


def test_the_numbers_while_dragging_are_those_of_the_tables(page, tables):
    for pair in ((3, 4), (20, 12), (40, 20), (64, 31)):
        for slider, rank in zip((OUT, IN), pair, strict=True):
            put(page, slider, rank)
        page.wait_for_timeout(100)
        now = FULL | {"conv2": pair}
        predicted, table = tables.predict(now), tables.layers[1]
        lines = page.locator(".lrk-tile").nth(2).inner_text().split("\n")
        assert lines[2] == f"{predicted:.1%}"
        assert lines[4] == f"± {100 * tables.prediction_error(predicted):.1f} in 9 of 10 similar plans (50 tried)"
        assert page.locator(".lrk-value").nth(0).inner_text() == f"{tables.n_params_at(now):,}"
        # A pair that saves nothing leaves the layer dense: nothing is cut.
        saves = table.saves(pair)
        for side, mode in enumerate(table.modes):
            kept = mode.energy[pair[side] - 1] if saves else 1
            assert facts(page, side) == f"rank {pair[side]} of {FULL['conv2'][side]} · keeps {kept:.1%} of the energy"
        told = f"error {table.error_at(pair):.1%}" if saves else f"dense: {pair[0]} × {pair[1]} would not be smaller"
        assert facts(page, 2) == f"{pair[0]} × {pair[1]} of 64 × 32 · {told}"
    page.locator(IN).dispatch_event("change")
    measured(page)


def test_a_time_is_predicted_for_every_pair_while_dragging(page):
    put(page, OUT, 20)
    page.wait_for_function("() => document.querySelectorAll('.lrk-tile')[3].textContent.includes('similar plans')")
    painted = set()
    for pair in ((3, 4), (20, 12), (40, 20)):
        for slider, rank in zip((OUT, IN), pair, strict=True):
            put(page, slider, rank)
        page.wait_for_timeout(100)
        assert kind(page, 3) == "predicted"
        painted.add(page.locator(".lrk-value").nth(3).inner_text())
    assert len(painted) > 1, "the time must move with the hand"
    page.locator(IN).dispatch_event("change")
    measured(page)
    assert "similar plans" not in page.locator(".lrk-tile").nth(3).inner_text()


def test_the_error_is_that_of_the_refined_weight_once_it_is_measured(page, tables):
    put(page, OUT, 20)
    put(page, IN, 12)
    page.locator(IN).dispatch_event("change")
    measured(page)
    cut, refined = (float(found) for found in re.findall(r"([\d.]+)%", facts(page, 2)))
    assert "refined" in facts(page, 2)
    assert cut == pytest.approx(100 * tables.layers[1].error_at((20, 12)), abs=0.06)
    assert cut - 5 < refined < cut


@pytest.mark.parametrize("cost", ["params", "macs"])
def test_the_budget_slider_sets_what_the_plan_says(page, cost):
    model, data = kit.load(NAME)
    page.get_by_role("combobox", name="What is kept").select_option(cost)
    put(page, "input[data-layer=budget]", 300)
    page.locator("input[data-layer=budget]").dispatch_event("change")
    measured(page)
    plan = kit.plan(model, budget=0.3, cost=cost, method="tucker", data=data, layers=[*FULL])
    assert ranks(page) == FULL | plan.ranks
    assert shown(page) == expected(page)
    page.get_by_role("combobox", name="What is kept").select_option("params")


def test_a_budget_can_be_typed(page):
    typed = page.locator(".lrk-budget input[type=number]")
    typed.fill("40")
    typed.press("Enter")
    measured(page)
    model, _ = kit.load(NAME)
    assert ranks(page) == FULL | kit.plan(model, budget=0.4, method="tucker", layers=[*FULL]).ranks
    typed.fill("0")
    typed.press("Enter")
    assert "100 %; got 0" in page.locator(".lrk-note").inner_text()


def test_the_ranks_above_the_noise_at_a_press(page, tables):
    page.get_by_role("button", name="Ranks above the noise").click()
    measured(page)
    assert ranks(page) == {t.name: t.estimated for t in tables.layers}
    assert shown(page) == expected(page)


def test_keys_move_a_slider_by_fine_and_coarse_steps(page):
    page.focus(IN)
    page.keyboard.press("ArrowLeft")
    assert ranks(page)["conv2"] == (64, 31)
    page.keyboard.press("PageDown")
    assert ranks(page)["conv2"][1] < 30
    page.keyboard.press("Home")
    measured(page)
    assert ranks(page)["conv2"] == (64, 1)
    assert page.locator(IN).get_attribute("aria-valuetext") == "rank 1 of 32, 26%"
    assert page.get_by_role("slider", name="Input rank of conv2").count() == 1


def test_break_even_of_one_side_moves_with_the_other(page, tables):
    table = tables.layers[1]
    for inputs in (20, 30):
        put(page, IN, inputs)
        page.wait_for_timeout(60)
        largest = max(o for o in range(1, 65) if table.saves((o, inputs)))
        assert page.locator(".lrk-spectrum svg").nth(0).inner_html().count(f">break-even {largest}<") == 1
    page.locator(IN).dispatch_event("change")
    measured(page)


def test_a_rank_can_be_typed_and_undone(page):
    typed = page.get_by_label("Output rank of conv2: type a number")
    typed.fill("17")
    typed.press("Enter")
    measured(page)
    assert ranks(page)["conv2"] == (17, 32)
    page.get_by_role("button", name="Undo").click()
    measured(page)
    assert ranks(page) == FULL


@pytest.mark.parametrize("wrong", ["0", "33", "2.5", ""])
def test_a_wrong_rank_gets_a_sentence_and_changes_nothing(page, wrong):
    typed = page.get_by_label("Input rank of conv2: type a number")
    typed.fill(wrong)
    typed.press("Enter")
    assert re.search(r"`conv2: in` must be .* between 1 and 32; got", page.locator(".lrk-note").inner_text())
    assert ranks(page) == FULL


def test_a_press_on_a_spectrum_sets_the_rank_of_its_side(page):
    page.focus(OUT)
    for side, (low, high) in enumerate([(24, 40), (11, 21)]):
        box = box_of(page, page.locator(".lrk-spectrum svg").nth(side))
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        measured(page)
        assert low < ranks(page)["conv2"][side] < high
    assert ranks(page) == FULL | {"conv2": ranks(page)["conv2"]}


def test_a_drag_over_the_map_sets_both_ranks(page):
    page.focus(OUT)
    box = box_of(page, page.locator(".lrk-map svg"))
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
    page.wait_for_timeout(60)
    assert kind(page, 2) == "predicted"
    page.mouse.up()
    measured(page)
    outputs, inputs = ranks(page)["conv2"]
    assert 26 < outputs < 38 and 9 < inputs < 15
    assert shown(page) == expected(page)
    page.get_by_role("button", name="Undo").click()
    measured(page)
    assert ranks(page) == FULL


def test_the_plan_can_be_downloaded_and_read_back(page):
    page.focus(IN)
    page.keyboard.press("PageDown")
    measured(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download plan").click()
    plan = kit.RankPlan.from_json(download.value.path().read_text(encoding="utf-8"))
    assert plan.ranks == {"conv2": ranks(page)["conv2"]}
    assert plan.layers["conv2"].method == "tucker"


def test_every_setting_tried_leaves_a_point(page):
    before = page.locator(".lrk-dots circle").count()
    put(page, OUT, 11)
    page.locator(OUT).dispatch_event("change")
    measured(page)
    assert page.locator(".lrk-dots circle").count() > before


def test_it_says_what_stays_whole(page):
    assert page.locator(".lrk-whole").inner_text().startswith("Left dense: fc1, head, 76% of the parameters.")


def test_the_language_switches_both_ways(page):
    page.get_by_role("button", name="日本語").click()
    page.get_by_role("button", name=strings("tucker", "ja")["estimate"]).wait_for()
    assert strings("board", "ja")["params"] in page.locator(".lrk-tiles").inner_text()
    assert page.get_by_role("slider", name=strings("tucker", "ja")["rank_inputs"].format(layer="conv2")).count() == 1
    page.get_by_role("button", name="English").click()
    page.get_by_role("button", name="Ranks above the noise").wait_for()


def test_colours_follow_a_dark_page(page):
    paper = "document.querySelector('.lrk') && getComputedStyle(document.querySelector('.lrk')).backgroundColor"
    style = "getComputedStyle(document.querySelector('{}')).{}"
    core, band = style.format(".lrk-core", "stroke"), style.format(".lrk-bands path", "fill")
    light = [page.evaluate(asked) for asked in (paper, core, band)]
    page.evaluate(
        "() => { for (const [name, value] of [['--jp-layout-color1', '#111'], ['--jp-ui-font-color1', '#eee']])"
        " document.querySelector('.lrk').parentElement.style.setProperty(name, value); }"
    )
    dark = [page.evaluate(asked) for asked in (paper, core, band)]
    assert dark[0] == "rgb(17, 17, 17)" and dark[1] == "rgb(238, 238, 238)"
    assert all(one != other for one, other in zip(light, dark, strict=True))
    page.evaluate(
        "() => { for (const name of ['--jp-layout-color1', '--jp-ui-font-color1'])"
        " document.querySelector('.lrk').parentElement.style.removeProperty(name); }"
    )


def test_nothing_overflows_a_narrow_page(page):
    size = page.viewport_size
    page.set_viewport_size({"width": 760, "height": 900})
    page.wait_for_timeout(200)
    over = page.evaluate(
        "() => { const board = document.querySelector('.lrk'), edge = board.getBoundingClientRect().right;"
        " return [...board.querySelectorAll('input, button, select, svg, .lrk-tile')].filter("
        "(part) => part.getBoundingClientRect().right > edge + 1).length; }"
    )
    page.set_viewport_size(size)
    assert over == 0


def test_another_board_on_the_page_changes_nothing(page, moved_by_others):
    assert moved_by_others(page) == []


def test_nothing_fails_and_nothing_is_fetched_from_elsewhere(page):
    assert page.faults == []
    assert page.strangers == []


def put(page, slider, value):
    """What a hand on a slider does without letting go."""
    page.evaluate(
        "([slider, value]) => { const s = document.querySelector(slider); s.value = value;"
        " s.dispatchEvent(new Event('input', { bubbles: true })); }",
        [slider, value],
    )


def box_of(page, part):
    """Where it is, once it is in sight."""
    part.scroll_into_view_if_needed()
    page.wait_for_timeout(100)
    return part.bounding_box()


def measured(page):
    """Until every number on the tiles is measured; what was done last has been painted by then."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.wait_for_function(
        "() => [2, 3].every((i) => /measured|busy/.test(document.querySelectorAll('.lrk-tile')[i].dataset.kind))"
    )


def kind(page, tile):
    return page.locator(".lrk-tile").nth(tile).get_attribute("data-kind")


def facts(page, chart):
    """What is said below a picture: outputs, inputs, map."""
    return " ".join(page.locator(".lrk-facts").nth(chart).inner_text().split())


def ranks(page):
    sliders = page.locator(".lrk-controls input[type=range]:not([data-layer=budget])")
    found = dict(sliders.evaluate_all("(all) => all.map((s) => [s.dataset.layer, Number(s.value)])"))
    return {name: (found[f"{name} outputs"], found[f"{name} inputs"]) for name in FULL}


def shown(page):
    values = page.locator(".lrk-value").all_inner_texts()
    accuracy = page.locator(".lrk-tile").nth(2).locator(".lrk-line").all_inner_texts()
    return {"params": values[0], "accuracy": values[2], "lines": accuracy}


def expected(page):
    """The same words from the plain calls, for the ranks that the sliders stand at."""
    model, data = kit.load(NAME)
    dense = kit.measure(model, data, latency_budget_s=0)
    board = kit.TuckerBoard(NAME)
    found = kit.measure(kit.compress(model, board.tables.plan(ranks(page))), data, latency_budget_s=0)
    change, (low, high) = found.change(dense), found.interval
    delta, *ends = (signed(value) for value in (change.value, change.low, change.high))
    return {
        "params": f"{found.n_params:,}",
        "accuracy": f"{found.accuracy:.1%}",
        "lines": [f"{delta} points [{', '.join(ends)}]", f"[{low:.1%}, {high:.1%}], n = {found.n_examples:,}"],
    }


def signed(fraction):
    text = f"{100 * fraction:+.1f}".replace("-", "−")
    return "0.0" if text in {"+0.0", "−0.0"} else text


def _is_strange(url):
    return not re.match(r"(http|ws)://(127\.0\.0\.1|localhost)[:/]|data:|blob:", url)
