"""What is read back is what was measured."""

import pandas
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.measure import measure
from lowrank_kit.models.surgery import compress
from lowrank_kit.records import RankPlan
from lowrank_kit.studies.grid import Study
from lowrank_kit.studies.networks import open_network
from lowrank_kit.studies.results import Results


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study with its file: 8 cells, of which 4 can't be done, two batches."""
    study = Study(["tiny_networks:cnn"], budgets=[0.8, 0.001], methods=["svd", "spatial"], seeds=[0, 1])
    path = tmp_path_factory.mktemp("results") / "results.sqlite"
    return study, path


@pytest.fixture
def results(finished):
    """The file of the study, made by the first test that wants it."""
    study, path = finished
    list(study.run(path, jobs=1))
    return Results(path)


def test_a_measurement_is_rebuilt_as_it_was(finished, results):
    row = results.rows(finished[0])[0]
    model, data = open_network("tiny_networks:cnn", row["seed"])
    expected = measure(compress(model, RankPlan.from_json(row["plan"])), data, latency_budget_s=0)
    dense = measure(model, data, latency_budget_s=0)
    found = results.measurement(row)
    assert found.predictions.tolist() == expected.predictions.tolist()
    assert found.labels.tolist() == data.test.y.tolist()
    assert (found.n_params, found.size_bytes, found.macs) == (expected.n_params, expected.size_bytes, expected.macs)
    assert found.plan == RankPlan.from_json(row["plan"])
    assert found.timing is None
    assert found.label == "svd, energy, 0.8 of params"
    assert results.dense(row).predictions.tolist() == dense.predictions.tolist()
    assert (results.dense(row).n_params, results.dense(row).macs) == (dense.n_params, dense.macs)


def test_a_row_says_what_its_measurement_says(finished, results):
    for row in results.rows(finished[0]):
        if row["status"] == "measured":
            found, dense = results.measurement(row), results.dense(row)
            change = found.change(dense)
            assert row["accuracy"] == found.accuracy
            assert (row["accuracy_low"], row["accuracy_high"]) == found.interval
            assert (row["change"], row["change_low"], row["change_high"]) == (change.value, change.low, change.high)
            assert (row["dense_accuracy"], row["dense_n_params"]) == (dense.accuracy, dense.n_params)
            assert row["weights"] == found.plan.weights
            assert row["layers_compressed"] == len(found.plan.layers)


def test_any_two_rows_can_be_paired(finished, results):
    first, _, second, *_ = results.rows(finished[0])
    change = results.measurement(second).change(results.measurement(first))
    assert change.n_examples == 30
    assert change.value == pytest.approx(second["accuracy"] - first["accuracy"])


def test_a_cell_that_could_not_be_done_is_a_row_with_its_reason(finished, results):
    rows = [row for row in results.rows(finished[0]) if row["budget"] == 0.001]
    assert [row["status"] for row in rows] == 4 * ["impossible"]
    assert all(row["reason"].startswith("`budget` must be at least 0.") for row in rows)
    assert all(row["accuracy"] is row["plan"] is row["n_params"] is None for row in rows)
    with pytest.raises(InputError, match="`row` must be a measured one; this one is impossible: `budget` must be at"):
        results.measurement(rows[0])


def test_rows_become_a_table_of_pandas(finished, results):
    frame = pandas.DataFrame(results.rows(finished[0]))
    assert len(frame) == 8
    means = frame[frame.status == "measured"].groupby("method").accuracy.mean()
    assert set(means.index) == {"svd", "spatial"}
    assert frame.accuracy.isna().sum() == 4
    assert not any(isinstance(value, bytes) for value in frame.to_numpy().ravel())


def test_rows_say_where_when_and_with_what_they_were_measured(finished, results):
    for row in results.rows(finished[0]):
        assert row["date"].endswith("+00:00")
        assert row["device"] and row["kit"] and row["torch"]
        assert row["seconds"] >= 0


def test_all_rows_are_there_without_a_study_too(finished, results):
    def by_name(rows):
        return sorted(rows, key=repr)

    assert by_name(results.rows()) == by_name(results.rows(finished[0]))
    assert results.rows(Study(["tiny_networks:mlp"])) == results.timings() == []


def test_a_row_of_another_file_gets_one_sentence(finished, results):
    row = {**results.rows(finished[0])[0], "budget": 0.123}
    with pytest.raises(
        InputError, match=r"`row` must be one of .*results.sqlite; it has none of tiny_networks:cnn, 0, "
    ):
        results.measurement(row)


@pytest.mark.parametrize("read", ["rows", "timings", "identities"])
def test_a_file_that_is_not_there_is_not_made(read, path):
    with pytest.raises(InputError, match=r"results.sqlite must be a file where it can be written"):
        getattr(Results(path), read)()
    assert not path.exists()
