"""A hand on the rank board, in Voila and in JupyterLab, against the plain Python calls."""

import re

import pytest

import lowrank_kit as kit
from benchmarks.browser import in_lab, in_voila, write_notebook
from lowrank_kit.files import read_arrays, shipped
from lowrank_kit.i18n import strings
from lowrank_kit.records import RankTables

pytestmark = pytest.mark.browser

NAME = "digits-mlp"
SLIDER = 'input[type=range][data-layer="fc1"]'
# The board, and beneath it what Python predicts for where its sliders stand.
CELL = """from ipywidgets import Label
from lowrank_kit import RankBoard

board, told = RankBoard("digits-mlp"), Label()
board.observe(lambda _: setattr(told, "value", f"predicted {board.predicted_latency_s}"), "setting")
display(board, told)"""

OPENED = {"voila": in_voila, "lab": in_lab}


@pytest.fixture(scope="module", params=OPENED)
def page(request, browser, tmp_path_factory):
    """The board of a small network, once its first measurement is there."""
    notebook = write_notebook(tmp_path_factory.mktemp(request.param) / "board.ipynb", CELL)
    with OPENED[request.param](browser, notebook) as page:
        page.faults, page.strangers = [], []
        page.on("pageerror", lambda fault: page.faults.append(str(fault)))
        page.on("request", lambda r: page.strangers.append(r.url) if _is_strange(r.url) else None)
        page.wait_for_selector(".lrk-tile")
        measured(page)
        yield page


@pytest.fixture(autouse=True)
def from_the_start(page):
    page.get_by_role("button", name="Reset").click()
    measured(page)


def test_dragging_paints_predictions_and_letting_go_measures(page):
    box = page.locator(SLIDER).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 9, middle)
    page.mouse.down()
    painted = set()
    for step in range(1, 12):
        page.mouse.move(box["x"] + box["width"] * (1 - 0.07 * step), middle)
        page.wait_for_function(
            "(s) => document.querySelector('.lrk-facts').textContent.includes(` ${document.querySelector(s).value} `)",
            arg=SLIDER,
        )
        painted.add((kind(page, 2), page.locator(".lrk-facts").nth(0).inner_text()))
    assert {how for how, _ in painted} == {"predicted"}
    assert len(painted) >= 8, "the picture must move with the hand"
    page.mouse.up()
    measured(page)
    assert shown(page) == expected(page)


def test_the_numbers_while_dragging_are_those_of_the_tables(page):
    tables = RankTables.from_arrays(*read_arrays(shipped("data", NAME, "tables.safetensors")))
    page.locator(SLIDER).dispatch_event("input")
    for rank in (3, 11, 30, 50):
        page.evaluate(
            "([slider, rank]) => { const s = document.querySelector(slider); s.value = rank;"
            " s.dispatchEvent(new Event('input', { bubbles: true })); }",
            [SLIDER, rank],
        )
        page.wait_for_timeout(100)
        ranks = {**tables.spectra, **{t.name: t.full_rank for t in tables.layers}, "fc1": rank}
        predicted = tables.predict(ranks)
        lines = page.locator(".lrk-tile").nth(2).inner_text().split("\n")
        assert lines[2] == f"{predicted:.1%}"
        assert lines[4] == f"± {100 * tables.prediction_error(predicted):.1f} in 9 of 10 similar plans (50 tried)"
        assert page.locator(".lrk-value").nth(0).inner_text() == f"{tables.n_params_at(ranks):,}"
        # Above break-even, 42, the layer stays dense and nothing is cut.
        spectrum, kept = tables.spectra["fc1"], rank if rank <= 42 else 64
        facts = page.locator(".lrk-facts").nth(0).inner_text()
        assert f"keeps {spectrum.energy[kept - 1]:.1%} of the energy" in facts
        assert f"error {spectrum.error(kept):.1%}" in facts


def test_times_while_dragging_are_those_that_python_predicts(page):
    move(page, 20)
    learnt(page)
    painted = set()
    for rank in (3, 11, 30, 50):
        move(page, rank)
        found = python_s(page)
        assert kind(page, 3) == "predicted"
        badge, value, pace, off = told(page)
        assert badge == "predicted"
        assert value == f"{three(1e3 * found)} ms"
        assert re.fullmatch(r"(as fast as dense|[\d.]+ × as fast as dense|slower: [\d.]+ × dense) \([\d.]+ ms\)", pace)
        assert re.fullmatch(r"± \d+% in 9 of 10 similar plans \(\d+ timed\)", off)
        painted.add(value)
    assert len(painted) > 1, "the time must move with the hand"
    # Above break-even all is dense, and takes what the dense network takes.
    assert pace == f"as fast as dense ({value})"
    page.locator(SLIDER).dispatch_event("change")
    measured(page)
    assert "similar plans" not in page.locator(".lrk-tile").nth(3).inner_text()


def test_a_setting_that_was_predicted_and_measured_counts(page):
    move(page, 20)
    learnt(page)
    before = timed(page)
    move(page, before + 2)  # tried by no other test
    page.locator(SLIDER).dispatch_event("change")
    measured(page)
    move(page, 30)
    assert timed(page) == before + 1
    page.locator(SLIDER).dispatch_event("change")
    measured(page)


def test_the_budget_slider_sets_what_the_plan_says(page):
    model, _ = kit.load(NAME)
    page.evaluate(
        "() => { const s = document.querySelector('input[data-layer=budget]'); s.value = 300;"
        " s.dispatchEvent(new Event('input', { bubbles: true })); s.dispatchEvent(new Event('change')); }"
    )
    measured(page)
    assert ranks(page) == {"fc1": 64, "fc2": 128, "head": 10} | kit.plan(model, budget=0.3).ranks
    assert shown(page) == expected(page)


def test_the_budget_slider_climbs_by_keys(page):
    budget = page.locator("input[type=range][data-layer=budget]")
    budget.focus()
    for _ in range(5):
        page.keyboard.press("PageDown")
    start = int(budget.input_value())
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    assert int(budget.input_value()) == start + 12
    measured(page)
    assert shown(page) == expected(page)


def test_a_budget_can_be_typed(page):
    typed = page.locator(".lrk-budget input[type=number]")
    typed.fill("40")
    typed.press("Enter")
    measured(page)
    model, _ = kit.load(NAME)
    assert ranks(page) == {"fc1": 64, "fc2": 128, "head": 10} | kit.plan(model, budget=0.4).ranks
    typed.fill("0")
    typed.press("Enter")
    assert "100 %; got 0" in page.locator(".lrk-note").inner_text()


def test_a_drag_that_comes_back_is_settled_too(page):
    box = page.locator(SLIDER).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 9, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.wait_for_timeout(100)
    assert kind(page, 2) == "predicted"
    page.mouse.move(box["x"] + box["width"] - 9, middle)
    page.mouse.up()
    measured(page)
    assert ranks(page)["fc1"] == 64


def test_a_time_is_never_shown_under_another_batch(page):
    measured(page)
    batch = page.get_by_role("combobox", name="batch")
    batch.select_option("1")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert kind(page, 3) in {"waiting", "predicted"}
    measured(page)
    batch.select_option("32")
    measured(page)


def test_keys_move_a_slider_by_fine_and_coarse_steps(page):
    page.focus(SLIDER)
    page.keyboard.press("ArrowLeft")
    assert ranks(page)["fc1"] == 63
    page.keyboard.press("PageDown")
    assert ranks(page)["fc1"] < 60
    page.keyboard.press("Home")
    measured(page)
    assert ranks(page)["fc1"] == 1
    assert "rank 1 of 64" in page.locator(SLIDER).get_attribute("aria-valuetext")


def test_a_rank_can_be_typed_and_undone(page):
    typed = page.get_by_label("Rank of fc1: type a number")
    typed.fill("17")
    typed.press("Enter")
    measured(page)
    assert ranks(page)["fc1"] == 17
    page.get_by_role("button", name="Undo").click()
    measured(page)
    assert ranks(page)["fc1"] == 64


@pytest.mark.parametrize("wrong", ["0", "65", "2.5", ""])
def test_a_wrong_rank_gets_a_sentence_and_changes_nothing(page, wrong):
    typed = page.get_by_label("Rank of fc1: type a number")
    typed.fill(wrong)
    typed.press("Enter")
    assert re.search(r"between 1 and 64; got", page.locator(".lrk-note").inner_text())
    assert ranks(page)["fc1"] == 64


def test_every_setting_tried_leaves_a_point(page):
    before = page.locator(".lrk-dots circle").count()
    page.focus(SLIDER)
    for _ in range(3):
        page.keyboard.press("PageDown")
    measured(page)
    assert page.locator(".lrk-dots circle").count() > before


def test_a_press_on_the_spectrum_sets_the_rank(page):
    page.focus(SLIDER)
    box = page.locator(".lrk-chart svg").nth(0).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    measured(page)
    assert 20 < ranks(page)["fc1"] < 44


def test_a_right_click_or_a_press_from_elsewhere_sets_nothing(page):
    box = page.locator(".lrk-chart svg").nth(0).bounding_box()
    centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.click(*centre, button="right")
    page.mouse.move(box["x"] + 5, box["y"] - 12)
    page.mouse.down()
    page.mouse.move(*centre)
    page.mouse.up()
    assert ranks(page) == {"fc1": 64, "fc2": 128, "head": 10}


def test_the_plan_can_be_downloaded_and_read_back(page):
    page.focus(SLIDER)
    page.keyboard.press("PageDown")
    measured(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download plan").click()
    assert download.value.suggested_filename == f"{NAME}-plan.json"
    plan = kit.RankPlan.from_json(download.value.path().read_text(encoding="utf-8"))
    assert plan.ranks == {"fc1": ranks(page)["fc1"]}


def test_the_language_switches_both_ways(page):
    page.get_by_role("button", name="日本語").click()
    page.get_by_role("heading", name=strings("board", "ja")["accuracy"], exact=True).wait_for()
    assert strings("board", "ja")["params"] in page.locator(".lrk-tiles").inner_text()
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="Accuracy", exact=True).wait_for()


def test_nothing_fails_and_nothing_is_fetched_from_elsewhere(page):
    assert page.faults == []
    assert page.strangers == []


def measured(page):
    """Until every number on the tiles is measured; what was done last has been painted by then."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.wait_for_function(
        "() => [2, 3].every((i) => /measured|busy/.test(document.querySelectorAll('.lrk-tile')[i].dataset.kind))"
    )


def move(page, rank):
    """As a hand does that holds on, until Python has heard of it."""
    page.evaluate(
        "([slider, rank]) => { const s = document.querySelector(slider); s.value = rank;"
        " s.dispatchEvent(new Event('input', { bubbles: true })); }",
        [SLIDER, rank],
    )
    page.wait_for_timeout(500)


def learnt(page):
    """Until the random plans were timed; after that only a hand changes what is predicted."""
    tile = "document.querySelectorAll('.lrk-tile')[3].textContent"
    page.wait_for_function(f"() => /([7-9]|\\d\\d) timed/.test({tile})")
    before = None
    while before != (before := timed(page)):
        page.wait_for_timeout(2000)


def timed(page):
    return int(re.search(r"(\d+) timed", page.locator(".lrk-tile").nth(3).inner_text())[1])


def told(page):
    tile = page.locator(".lrk-tile").nth(3)
    return [part for css in (".lrk-badge", ".lrk-value", ".lrk-line") for part in tile.locator(css).all_inner_texts()]


def python_s(page):
    return float(page.get_by_text(re.compile(r"^predicted [\d.e-]+$")).inner_text().split()[1])


def three(number):
    """With three significant digits, as the tiles have them."""
    return f"{float(f'{number:.3g}'):,}".removesuffix(".0")


def kind(page, tile):
    return page.locator(".lrk-tile").nth(tile).get_attribute("data-kind")


def ranks(page):
    sliders = page.locator(".lrk-controls input[type=range]:not([data-layer=budget])")
    return dict(sliders.evaluate_all("(all) => all.map((s) => [s.dataset.layer, Number(s.value)])"))


def shown(page):
    values = page.locator(".lrk-value").all_inner_texts()
    accuracy = page.locator(".lrk-tile").nth(2).locator(".lrk-line").all_inner_texts()
    return {"params": values[0], "accuracy": values[2], "lines": accuracy}


def expected(page):
    """The same words from the plain calls, for the ranks that the sliders stand at."""
    model, data = kit.load(NAME)
    dense = kit.measure(model, data, latency_budget_s=0)
    board = kit.RankBoard(NAME)
    network = kit.compress(model, board.tables.plan(ranks(page)))
    found = kit.measure(network, data, latency_budget_s=0)
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
