"""The browser's sums of times are Python's, to the last bit, at any ranks and for any settings seen."""

import numpy as np
import pytest

from lowrank_kit.files import read_arrays, shipped
from lowrank_kit.records import NetworkTimes, RankTables, TuckerTables
from lowrank_kit.widgets.assets import STATIC
from lowrank_kit.widgets.wire import tables_message, times_message

pytestmark = pytest.mark.browser

KINDS = {"rank": (RankTables, "tables"), "tucker": (TuckerTables, "tucker")}

# Both messages as a view unpacks them, and what the tables then say of each of the settings.
ASKED = """([[tables, buffers], [times, parts], settings]) => {
  const bytes = (found) => found.map((numbers) => new DataView(Uint8Array.from(numbers).buffer));
  const read = readTables(tables.words, unpack(tables.arrays, bytes(buffers)));
  const known = { ...times, shares: unpack(times.arrays, bytes(parts)) };
  return settings.map((ranks) => {
    const seconds = read.timeAt(known, ranks);
    return [Number.isNaN(seconds) ? null : seconds, read.timeError(known, seconds)];
  });
}"""


@pytest.fixture(params=KINDS)
def tables(request):
    kind, file = KINDS[request.param]
    return request.param, kind.from_arrays(*read_arrays(shipped("data", "mnist-cnn", f"{file}.safetensors")))


@pytest.fixture
def asked(browser, tables):
    """(times, settings) -> the seconds and the error of each, as the browser finds them."""
    kind, found = tables
    page = browser.new_page()
    parts = ("shared", "tables", f"{kind}_tables")
    page.add_script_tag(content="".join((STATIC / f"{part}.js").read_text(encoding="utf-8") for part in parts))

    def ask(times, settings):
        messages = ([message, [[*part] for part in buffers]] for message, buffers in
                    (tables_message(found), times_message(times)))  # fmt: skip
        return page.evaluate(ASKED, [*messages, [flat(ranks) for ranks in settings]])

    yield ask
    page.close()


def flat(ranks):
    return [part for rank in ranks.values() for part in np.atleast_1d(rank).tolist()]


def drawn(rng, tables, scale, n):
    """Times in which a layer takes up to `scale` of the dense network's time, and n settings that were seen."""
    shares = {t.name: (scale * rng.random(t.full_rank)).astype(np.float32) for t in tables.layers}
    return NetworkTimes(32, 0.00371, shares, rng.random(n) / 100, rng.random(n) / 100)


@pytest.mark.parametrize("scale", [0.1, 3.0])
@pytest.mark.parametrize("n", [0, 4, 5, 9, 10, 11, 40])
def test_seconds_and_errors_are_the_same(asked, tables, rng, scale, n):
    times = drawn(rng, tables[1], scale, n)
    dense = {table.name: table.full_rank for table in tables[1].layers}
    full = {name: np.atleast_1d(rank) for name, rank in dense.items()}
    some = [{name: tuple(rng.integers(1, rank + 1).tolist()) for name, rank in full.items()} for _ in range(30)]
    settings = [dense, *({name: r if len(r) > 1 else r[0] for name, r in ranks.items()} for ranks in some)]
    seconds = [times.predict(ranks) for ranks in settings]
    assert asked(times, settings) == [[s, times.error(s)] for s in seconds]
    assert seconds[0] == times.dense_s


def test_what_is_not_known_is_known_to_neither(asked, tables, rng):
    times = drawn(rng, tables[1], 0.1, 0)
    first = tables[1].layers[0]
    unknown = np.full(first.full_rank, np.nan)
    unknown.flat[-1] = 0
    times = times.knowing(first.name, unknown)
    dense = {table.name: table.full_rank for table in tables[1].layers}
    cut = dense | {first.name: (1, 1) if isinstance(first.full_rank, tuple) else 1}
    assert times.predict(cut) is None
    assert [seconds for seconds, _ in asked(times, [cut, dense])] == [None, times.dense_s]
