"""The latent board from Python: settings, what is measured behind it, and what travels to the browser."""

import json
import threading

import numpy as np
import pytest
import torch
from torch import nn

import lowrank_kit as kit
from lowrank_kit.checks import InputError
from lowrank_kit.i18n import strings
from lowrank_kit.methods.latent_tables import probabilities_by_rank
from lowrank_kit.models.surgery import compress
from lowrank_kit.widgets import latent_board
from lowrank_kit.widgets.latent_board import LatentBoard

PATIENCE_S = 60


@pytest.fixture
def board():
    board = LatentBoard("digits-mlp")
    yield board
    board.close()


@pytest.fixture
def own():
    """A small network of one's own with its data."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 6), nn.ReLU(), nn.Linear(6, 3))
    x = torch.randn(90, 1, 8, 8)
    return kit.load(model, (x, torch.arange(90) % 3))


@pytest.fixture
def undrawn(monkeypatch):
    """Without pictures, which take longer than what is tested here."""
    monkeypatch.setattr(LatentBoard, "_draw", lambda board: None)


@pytest.fixture
def sent(monkeypatch):
    """What boards send, as (message, buffers), also those that are made later."""
    found = []
    monkeypatch.setattr(LatentBoard, "send", lambda board, content, buffers: found.append((content, buffers)))
    return found


@pytest.fixture
def asked(monkeypatch):
    """(layer, ranks) of every measurement that was begun."""
    found = []

    def watched(factorisation, layer, ranks, examples):
        found.append((layer, list(ranks)))
        return probabilities_by_rank(factorisation, layer, ranks, examples)

    monkeypatch.setattr(latent_board, "probabilities_by_rank", watched)
    return found


def with_one_layer_cut(board, model, examples, layer, rank, by_hand):
    """The same probabilities from the plain calls."""
    cut = compress(model, by_hand(model, {layer: rank}), break_even_guard=False)
    with torch.inference_mode():
        return cut(torch.from_numpy(examples.x)).softmax(1).numpy()


def test_it_begins_with_the_largest_layer_whole(board):
    assert (board.layer, board.rank, board.picked, board.language) == ("fc2", 128, 0, "en")
    assert [t.name for t in board.tables.layers] == ["fc1", "fc2", "head"]
    assert board.tables.name == "digits-mlp" and len(board.tables.labels) == latent_board.EXAMPLES
    assert repr(board) == "LatentBoard(digits-mlp: fc2 at rank 128, 240 examples)"


def test_it_looks_at_test_examples_of_every_class_in_their_order(board, digits):
    test = digits[1].test
    places = [int(np.flatnonzero((test.x == x).all(axis=1))[0]) for x in board._examples.x]
    assert places == sorted(places)
    np.testing.assert_array_equal(test.y[places], board.tables.labels)
    shares = np.bincount(board.tables.labels) / 240
    np.testing.assert_allclose(shares, np.bincount(test.y) / len(test), atol=0.02)


def test_a_module_of_ones_own_and_what_is_shown_first(own):
    model, data = own
    board = LatentBoard(model, data, layer="3", rank=np.int64(2), picked=np.int64(7), language="ja")
    assert (board.layer, board.rank, board.picked, board.language) == ("3", 2, 7, "ja")
    assert board.tables.images.shape == (60, 8, 8)
    assert len(board.tables.labels) == 60
    json.dumps(board.setting)
    board.close()


def test_the_language_comes_from_the_environment(monkeypatch, own):
    monkeypatch.setenv("LOWRANK_KIT_LANG", "ja")
    board = LatentBoard(*own)
    assert board.language == "ja"
    board.close()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda b: b.set_layer("fc9"), "`layer` must be one of 'fc1', 'fc2', 'head'; got 'fc9'. Did you mean 'fc2'?"),
        (lambda b: b.set_layer(1), "`layer` must be one of 'fc1', 'fc2', 'head'; got 1."),
        (lambda b: b.set_rank(0), "between 1 and min(m, n) = 128 for a 128 x 128 matrix; got 0."),
        (lambda b: b.set_rank(129), "between 1 and min(m, n) = 128 for a 128 x 128 matrix; got 129."),
        (lambda b: b.set_rank(True), "`rank` must be a whole number between 1 and"),
        (lambda b: b.set_rank(2.0), "got 2.0."),
        (lambda b: b.pick(240), "`picked` must be the number of an example shown, 0 to 239; got 240."),
        (lambda b: b.pick(-1), "0 to 239; got -1."),
        (lambda b: b.pick(False), "0 to 239; got False."),
        (lambda b: b.pick(1.5), "0 to 239; got 1.5."),
        (lambda b: LatentBoard("mnist"), "`source` must be one of 'mnist-cnn'"),
        (lambda b: LatentBoard("digits-mlp", layer=""), "`layer` must be one of 'fc1', 'fc2', 'head'; got ''."),
        (lambda b: LatentBoard("digits-mlp", rank=0), "between 1 and min(m, n) = 128"),
        (lambda b: LatentBoard("digits-mlp", layer="head", rank=11), "min(m, n) = 10 for a 10 x 128 matrix; got 11."),
        (lambda b: LatentBoard("digits-mlp", rank=True), "got True."),
        (lambda b: LatentBoard("digits-mlp", picked=240), "0 to 239; got 240."),
        (lambda b: LatentBoard("digits-mlp", picked=True), "0 to 239; got True."),
        (lambda b: LatentBoard("digits-mlp", language="fr"), "`language` must be one of 'en', 'ja'; got 'fr'."),
        (lambda b: LatentBoard("digits-mlp", (1, 2)), "'digits-mlp' brings its own data."),
        (lambda b: LatentBoard(nn.Linear(2, 2)), "`data` must come with a module: model, data = load(module, "),
        (lambda b: LatentBoard(nn.Linear(2, 2), ([[0.0, 0.0]], [1])), "load(module, examples); got tuple."),
        (lambda b: LatentBoard(3), "(mnist-cnn, mnist-vit, digits-mlp) or an nn.Module; got int."),
    ],
)  # fmt: skip
def test_bad_input_gets_one_sentence_and_changes_nothing(board, act, words):
    before = dict(board.setting)
    with pytest.raises(InputError) as refusal:
        act(board)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)
    assert board.setting == before and board.fault == ""


def test_labels_outside_the_classes_are_refused(own):
    model, data = own
    wrong = kit.Data("wrong", data.validation, kit.Examples(data.test.x, data.test.y + 1))
    with pytest.raises(InputError, match="between 0 and 2, the classes of the model's output; got labels from 1 to 3"):
        LatentBoard(model, wrong)


def test_python_and_a_hand_set_the_same(board, undrawn):
    board.set_layer("fc1")
    assert board.setting == {"layer": "fc1", "rank": 64, "picked": 0, "final": True}
    board.set_rank(np.int64(9))
    board.pick(np.int64(17))
    assert board.setting == {"layer": "fc1", "rank": 9, "picked": 17, "final": True}
    json.dumps(board.setting)
    board.setting = {"layer": "head", "rank": 3, "picked": 5, "final": False}
    assert (board.layer, board.rank, board.picked) == ("head", 3, 5)
    board.set_layer("fc1")
    assert (board.rank, board.picked) == (64, 5), "another layer is whole, the example stays"


def test_what_is_shown_is_what_the_plain_calls_give(board, digits, by_hand, undrawn):
    model, _ = digits
    for layer, rank in (("fc2", 5), ("fc2", 128), ("head", 2), ("fc1", 20)):
        board.set_layer(layer)
        board.set_rank(rank)
        expected = with_one_layer_cut(board, model, board._examples, layer, rank, by_hand)
        np.testing.assert_allclose(board.probabilities, expected, atol=2e-5)
        assert board.accuracy == pytest.approx((expected.argmax(1) == board.tables.labels).mean())


def test_a_network_of_ones_own_is_measured_as_it_was(own, states, by_hand, undrawn):
    model, data = own
    board = LatentBoard(model, data, layer="0", rank=2)
    before = states(model)
    expected = with_one_layer_cut(board, model, board._examples, "0", 2, by_hand)
    np.testing.assert_allclose(board.probabilities, expected, atol=1e-5)
    assert states.same(before, states(model))
    with torch.no_grad():
        model[5].bias.add_(torch.tensor([9.0, 0, 0]))  # which goes on being trained
    board.set_layer("3")
    np.testing.assert_allclose(board.probabilities, board.tables.dense, atol=1e-5)
    board.close()


def test_a_caller_cannot_change_what_is_known(board, undrawn):
    board.probabilities[:] = 0
    np.testing.assert_allclose(board.probabilities.sum(axis=1), 1, atol=1e-5)


def test_nothing_is_measured_before_it_is_looked_at(board, asked):
    board.set_rank(5)
    board.pick(3)
    assert board.wait(0) and not asked


def test_asking_again_measures_nothing_again(board, asked, undrawn):
    first = board.probabilities
    board.set_rank(5)
    assert board.accuracy < 1 and not np.array_equal(board.probabilities, first)
    assert board.wait(PATIENCE_S)
    assert asked == [("fc2", list(range(1, 129)))]


def test_another_layer_stops_the_measurement_which_is_taken_up_again_where_it_was(monkeypatch, undrawn):
    asked, reached, go_on = [], threading.Event(), threading.Event()

    def halting(factorisation, layer, ranks, examples):
        asked.append((layer, list(ranks)))
        done = 0
        for found in probabilities_by_rank(factorisation, layer, ranks, examples):
            yield found
            done += found is not None
            if layer == "fc1" and found is not None and done == 3:
                reached.set()
                go_on.wait(PATIENCE_S)

    monkeypatch.setattr(latent_board, "probabilities_by_rank", halting)
    board = LatentBoard("digits-mlp", layer="fc1")
    board._look()
    assert reached.wait(PATIENCE_S)
    board.set_layer("head")
    go_on.set()
    assert board.wait(PATIENCE_S)
    assert asked == [("fc1", list(range(1, 65))), ("head", list(range(1, 11)))]
    assert np.isfinite(board._known["fc1"]).all(axis=(1, 2)).sum() == 3
    board.set_layer("fc1")
    assert board.wait(PATIENCE_S)
    assert asked[2:] == [("fc1", list(range(4, 65)))]
    assert np.isfinite(board._known["fc1"]).all()
    board.close()


def test_moving_the_rank_does_not_hold_up_the_measurement(monkeypatch, undrawn):
    begun, reached, go_on = [], threading.Event(), threading.Event()

    def halting(factorisation, layer, ranks, examples):
        begun.append(layer)
        for found in probabilities_by_rank(factorisation, layer, ranks, examples):
            reached.set()
            go_on.wait(PATIENCE_S)
            yield found

    monkeypatch.setattr(latent_board, "probabilities_by_rank", halting)
    board = LatentBoard("digits-mlp", layer="head")
    board._look()
    assert reached.wait(PATIENCE_S)
    board.set_rank(4)
    board.pick(2)
    go_on.set()
    assert board.wait(PATIENCE_S)
    assert begun == ["head"] and np.isfinite(board._known["head"]).all()
    board.close()


def test_a_new_view_is_sent_all_it_paints_from(own, sent, undrawn):
    board = LatentBoard(*own)
    board._hear(board, {"kind": "hello"}, [])
    (message, buffers), *_ = sent
    assert message["kind"] == "tables"
    assert message["strings"] == {language: strings("latent", language) for language in ("en", "ja")}
    words, tables = message["words"], board.tables
    assert (words["name"], words["classes"], words["image"]) == ("Sequential", 3, [8, 8])
    np.testing.assert_array_equal(words["labels"], tables.labels)
    assert words["layers"][0] == {"name": "0", "shape": [4, 9], "groups": 1, "full": 4}
    dense, images, *clouds = buffers
    np.testing.assert_array_equal(np.frombuffer(dense, "<f4").reshape(-1, 3), tables.dense)
    shown = np.frombuffer(images, "u1").reshape(-1, 8, 8)
    np.testing.assert_allclose(shown / 255, tables.images, atol=0.5 / 255 + 1e-6)
    for cloud, table in zip(clouds, tables.layers, strict=True):
        np.testing.assert_array_equal(np.frombuffer(cloud, "<f4").reshape(60, -1), table.coordinates)
    json.dumps(message)
    assert board.wait(PATIENCE_S)
    board.close()


def test_examples_that_are_no_images_travel_without(board, sent, undrawn):
    board._hear(board, {"kind": "hello"}, [])
    message, buffers = sent[0]
    assert message["words"]["image"] is None and buffers[1] == b""


def test_every_rank_is_told_when_it_is_measured(board, sent, undrawn):
    board.set_layer("head")
    assert board.wait(PATIENCE_S)
    assert [message["start"] for message, _ in sent] == list(range(10))
    assert {(message["kind"], message["layer"]) for message, _ in sent} == {("probabilities", "head")}
    for rank, (_, (values,)) in enumerate(sent, 1):
        board.set_rank(rank)
        np.testing.assert_array_equal(np.frombuffer(values, "<f4").reshape(240, 10), board.probabilities)


def test_a_second_view_is_told_what_is_known(board, sent, undrawn):
    board.set_layer("head")
    board.wait(PATIENCE_S)
    board._known["fc1"] = np.full((64, 240, 10), np.nan, dtype=np.float32)
    board._known["fc1"][4] = 0.1
    board._known["fc2"] = np.full((128, 240, 10), np.nan, dtype=np.float32)
    del sent[:]
    board._hear(board, {"kind": "hello"}, [])
    assert board.wait(PATIENCE_S)
    tables, head, some = sent
    assert tables[0]["kind"] == "tables"
    assert head[0] == {"kind": "probabilities", "layer": "head", "start": 0}
    np.testing.assert_array_equal(np.frombuffer(head[1][0], "<f4").reshape(10, 240, 10), board._known["head"])
    assert some[0]["layer"] == "fc1"
    values = np.frombuffer(some[1][0], "<f4").reshape(64, -1)
    assert np.flatnonzero(np.isfinite(values).all(axis=1)).tolist() == [4]
    assert np.isnan(values).all(axis=1).sum() == 63


def test_a_view_that_says_hello_starts_the_measurement(board, sent, asked, undrawn):
    board._hear(board, {"kind": "something else"}, [])
    assert board.wait(0) and not asked and not sent
    board._hear(board, {"kind": "hello"}, [])
    assert board.wait(PATIENCE_S)
    assert asked == [("fc2", list(range(1, 129)))]


def refused(factorisation, layer, ranks, examples):
    raise InputError("the sentence.")
    yield


def test_what_goes_wrong_behind_the_board_is_told_and_raised(board, monkeypatch, undrawn):
    monkeypatch.setattr(latent_board, "probabilities_by_rank", refused)
    with pytest.raises(InputError, match="the sentence"):
        _ = board.probabilities
    assert board.fault == "the sentence."
    monkeypatch.setattr(latent_board, "probabilities_by_rank", probabilities_by_rank)
    assert np.isfinite(board.probabilities).all() and board.fault == ""


def test_a_bug_is_never_shown_as_the_users_mistake(board, monkeypatch, undrawn):
    monkeypatch.setattr(latent_board, "probabilities_by_rank", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        _ = board.accuracy
    assert board.fault == "ZeroDivisionError: see the kernel's log."


def test_a_closed_board_says_so_and_measures_nothing(board, asked):
    board.close()
    board.set_layer("head")
    with pytest.raises(InputError, match="the board is closed and measures nothing"):
        _ = board.accuracy
    assert not asked


def test_what_a_closed_board_has_measured_can_still_be_asked_for(board, undrawn):
    board.set_layer("head")
    before = board.probabilities
    board.close()
    np.testing.assert_array_equal(board.probabilities, before)


def test_closing_stops_the_measurement(monkeypatch, undrawn):
    reached, go_on, given = threading.Event(), threading.Event(), []

    def halting(factorisation, layer, ranks, examples):
        for found in probabilities_by_rank(factorisation, layer, ranks, examples):
            given.append(found)
            yield found
            reached.set()
            go_on.wait(PATIENCE_S)

    monkeypatch.setattr(latent_board, "probabilities_by_rank", halting)
    board = LatentBoard("digits-mlp")
    board._look()
    assert reached.wait(PATIENCE_S)
    board.close()
    go_on.set()
    board._worker._thread.join(PATIENCE_S)
    assert not board._worker._thread.is_alive() and len(given) == 2


def test_arrays_are_not_among_what_a_notebook_stores(board):
    state = board.get_state()
    code = {"_esm", "_css", "_anywidget_id"}
    assert len(json.dumps({k: v for k, v in state.items() if k not in code}, default=str)) < 2000


@pytest.fixture
def shown(monkeypatch):
    outputs = []
    for name in ("display", "update_display"):
        monkeypatch.setattr(f"lowrank_kit.widgets.still.{name}", lambda data, **_: outputs.append(data))
    return outputs


def test_it_shows_a_live_view_and_a_still_picture(board, shown):
    board.set_layer("head")
    assert board.wait(PATIENCE_S)
    del shown[:]
    board._ipython_display_()
    live, still = shown
    assert "application/vnd.jupyter.widget-view+json" in live and live["text/plain"].startswith("LatentBoard(")
    assert 'src="data:image/png;base64,' in still["text/html"]
    assert f'id="{board.still_id}"' in still["text/html"]


def test_words_stand_for_the_board_until_there_is_a_picture_of_what_was_settled_on(board, shown):
    board._ipython_display_()
    _, first = shown
    assert "<figcaption>digits-mlp: fc2</figcaption><ul><li>rank 128 of 128</li></ul>" in first["text/html"]
    assert board.wait(PATIENCE_S)
    board.setting = {**board.setting, "rank": 90, "final": False}
    assert board.wait(PATIENCE_S) and len(shown) == 3, "a hand that still moves is not drawn"
    board.set_rank(9)
    board.wait(PATIENCE_S)
    board.set_layer("head")
    board.wait(PATIENCE_S)
    board.set_layer("fc2")
    board.wait(PATIENCE_S)
    pictures = [output["text/html"] for output in shown[2:]]
    assert len(set(pictures)) == 3 and pictures[0] == pictures[3]
    assert all('src="data:image/png;base64,' in picture for picture in pictures)


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_every_rank_of_a_small_layer_has_a_picture(own, rank):
    board = LatentBoard(*own, layer="0", rank=rank)
    _ = board.accuracy
    assert "data:image/png" in board._still._html and board.fault == ""
    board.close()


def test_words_stand_where_there_is_nothing_to_draw(own):
    model, data = own
    few = kit.Data("few", data.validation, data.test.take(np.arange(6)))
    for board in (LatentBoard(model, data, layer="5", rank=2), LatentBoard(model, few)):
        _ = board.accuracy
        assert f"<li>rank {board.rank} of " in board._still._html and board.fault == ""
        board.close()
