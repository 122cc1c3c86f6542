"""A study loses nothing: not when it is killed, cancelled, extended, crowded out or run on something else."""

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from joblib import parallel_config

from lowrank_kit.checks import InputError
from lowrank_kit.records import Timing
from lowrank_kit.studies import database
from lowrank_kit.studies import run as module
from lowrank_kit.studies.grid import Cell, Study
from lowrank_kit.studies.results import KEY, Results
from lowrank_kit.studies.run import Cancelled

# Says of every row that it is there before it asks for the next.
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from lowrank_kit.studies.grid import Study
if __name__ == "__main__":
    study = Study(["tiny_networks:slow"], methods=["svd", "aware"], budgets=[0.9, 0.8, 0.7, 0.6, 0.5], seeds=[0, 1])
    for row in study.run(sys.argv[2], jobs=2):
        print(row["seed"], row["method"], row["budget"], flush=True)
"""
SLOW = Study(["tiny_networks:slow"], methods=["svd", "aware"], budgets=[0.9, 0.8, 0.7, 0.6, 0.5], seeds=[0, 1])


def told(row):
    return f"{row['seed']} {row['method']} {row['budget']}\n"


def cell_of(row):
    return Cell(**{name: row[name] for name in KEY})


def cells_of(rows):
    return [cell_of(row) for row in rows]


def comparable(rows):
    return [{name: value for name, value in row.items() if name not in ("date", "seconds")} for row in rows]


@pytest.fixture
def tried(monkeypatch):
    """The cells that were tried, in order."""
    trial, cells = module.trial, []

    def noting(cell, run):
        cells.append(cell)
        return trial(cell, run)

    monkeypatch.setattr(module, "trial", noting)
    return cells


@pytest.fixture
def clock(monkeypatch):
    """Times without measuring any: the dense network takes twice as long."""
    asked = []

    def latency(models, x, *, batch, budget_s):
        asked.append(
            (batch, budget_s, [p for p in psutil.Process().children() if "popen_loky" in " ".join(p.cmdline())])
        )
        return [Timing(np.full(5, seconds), batch, "chip", "float32", "contiguous", 1) for seconds in (0.5, 0.25)]

    monkeypatch.setattr(module, "latency", latency)
    return asked


# every row, once


def test_every_cell_gets_a_row_that_is_stored_before_it_is_given(study, path):
    given = []
    for row in study.run(path, jobs=1):
        assert Results(path).row(cell_of(row)) == row
        given.append(row)
    assert Results(path).rows(study) == given
    assert [row["status"] for row in given] == 2 * ["measured", "measured", "impossible"]


def test_what_is_there_is_not_measured_again(study, path, tried, raw):
    [*study.run(path, jobs=1)]
    before = raw(path)
    assert len(tried) == 6
    assert [*study.run(path, jobs=1)] == []
    assert len(tried) == 6
    assert raw(path) == before


def test_an_extended_grid_goes_on_with_the_new_cells(study, path, tried, raw):
    [*study.run(path, jobs=1)]
    before = raw(path)
    wider = replace(study, budgets=[0.9, 0.75, 0.6, 0.01], methods=["svd", "aware"], seeds=[1, 0, 2])
    new = [*wider.run(path, jobs=1)]
    assert tried[6:] == [cell for cell in wider.cells if cell not in study.cells]
    assert len(new) == len(wider) - 6
    assert set(before) <= set(raw(path))
    assert cells_of(Results(path).rows(wider)) == wider.cells
    assert len(Results(path).rows(study)) == 6


def test_a_killed_study_goes_on_and_every_row_is_there_once(path, tmp_path, raw):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, Path(__file__).parent, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        said = [running.stdout.readline() for _ in range(5)]
        family = psutil.Process(running.pid).children(recursive=True)
        running.kill()
    before = Results(path).rows(SLOW)
    stored, untouched = {told(row) for row in before}, raw(path)
    assert set(said) <= stored
    assert 5 <= len(stored) < len(SLOW)
    assert psutil.wait_procs(family, timeout=60)[1] == [], "workers must not outlive a killed study"

    assert len([*SLOW.run(path, jobs=1)]) == len(SLOW) - len(before)
    assert cells_of(Results(path).rows(SLOW)) == SLOW.cells
    assert len(raw(path)) == len(SLOW)
    assert set(untouched) <= set(raw(path))


@pytest.mark.parametrize("backend", ["threading", "loky", "ours", "lists only"])
def test_rows_are_the_same_wherever_they_are_computed(backend, study, path, tmp_path, backends):
    [*study.run(path, jobs=1)]
    elsewhere = tmp_path / "elsewhere.sqlite"
    with parallel_config(backend=backend):
        [*study.run(elsewhere, jobs=2)]
    assert comparable(Results(elsewhere).rows(study)) == comparable(Results(path).rows(study))
    assert backends.used == {backend} & {"ours", "lists only"}
    for row in Results(path).rows(study)[:2]:
        here, there = (Results(file).measurement(row) for file in (path, elsewhere))
        assert here.predictions.tolist() == there.predictions.tolist()
        assert here.labels.tolist() == there.labels.tolist()


def test_threads_do_not_disturb_each_others_seeds(path, tmp_path):
    study = Study(["tiny_networks:mlp"], budgets=[0.9, 0.6], seeds=range(8), cost="macs")
    [*study.run(path, jobs=1)]
    elsewhere = tmp_path / "elsewhere.sqlite"
    with parallel_config(backend="threading"):
        [*study.run(elsewhere, jobs=8)]
    assert comparable(Results(elsewhere).rows(study)) == comparable(Results(path).rows(study))


def test_two_runs_at_once_leave_every_row_once(study, path, raw):
    first = study.run(path, jobs=1)
    next(first)
    rows = [*study.run(path, jobs=1)]
    assert len(rows) == 5
    before = raw(path)
    assert len([*first]) == 5
    assert raw(path) == before


def test_closing_cancels_and_keeps_what_was_given(study, path, tried):
    rows = study.run(path, jobs=1)
    given = [next(rows), next(rows)]
    rows.close()
    assert Results(path).rows(study) == given
    assert len(tried) == 2
    assert len([*study.run(path, jobs=1)]) == 4


def test_ctrl_c_says_what_is_there_and_how_to_go_on(study, path, monkeypatch):
    trial = module.trial

    def impatient(cell, run):
        if cell.seed == 1:
            raise KeyboardInterrupt
        return trial(cell, run)

    monkeypatch.setattr(module, "trial", impatient)
    with pytest.raises(Cancelled, match=rf"cancelled; 3 of 6 rows are in {path}\. Run the study again to go on"):
        [*study.run(path, jobs=1)]
    monkeypatch.setattr(module, "trial", trial)
    assert len([*study.run(path, jobs=1)]) == 3


def test_a_worker_that_dies_gets_one_sentence(path):
    with pytest.raises(InputError, match=rf"system ended one.*; 0 of 2 rows are in {path}\. Run .* with fewer jobs"):
        [*Study(["tiny_networks:dying"], budgets=[0.9, 0.7]).run(path, jobs=2)]


def test_a_bug_in_a_trial_is_raised_and_keeps_what_was_given(study, path, monkeypatch):
    trial = module.trial
    monkeypatch.setattr(module, "trial", lambda cell, run: trial(cell, run) if cell.seed == 0 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        [*study.run(path, jobs=1)]
    assert len(Results(path).rows(study)) == 3


# what is written


def test_a_row_is_kept_while_the_file_is_locked(study, path):
    other, given = None, []
    for row in study.run(path, jobs=1):
        given.append(row)
        if other is None:
            other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            other.execute("BEGIN EXCLUSIVE")
            release = threading.Timer(0.5, other.execute, ["COMMIT"])
            release.start()
    release.join()
    other.close()
    assert Results(path).rows(study) == given
    assert len(given) == 6


def test_a_file_that_stays_locked_ends_the_run_and_nothing_stored_is_lost(study, path, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE_S", 0.1)
    rows = study.run(path, jobs=1)
    given = [next(rows)]
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(InputError, match="must not be locked"):
        next(rows)
    other.close()
    assert Results(path).rows(study) == given
    assert len([*study.run(path, jobs=1)]) == 5


def test_a_full_disk_ends_the_run_and_nothing_stored_is_lost(path, monkeypatch):
    connect, study = sqlite3.connect, Study(["tiny_networks:mlp"], budgets=np.linspace(0.3, 0.9, 40))

    def limited(address, **options):
        connection = connect(address, **options)
        connection.execute("PRAGMA max_page_count = 12")
        return connection

    given = []
    with monkeypatch.context() as patched, pytest.raises(InputError, match="must have room to grow; the disk is full"):
        patched.setattr(sqlite3, "connect", limited)
        given.extend(iter(study.run(path, jobs=1)))
    stored = Results(path).rows(study)
    assert 0 < len(stored) < 40
    assert len([*study.run(path, jobs=1)]) == 40 - len(stored)
    assert Results(path).rows(study)[: len(stored)] == stored


@pytest.mark.parametrize("variable", ["TINY_WEIGHTS", "TINY_DATA"])
@pytest.mark.parametrize("finished", [True, False])
def test_a_network_that_changed_is_not_mixed_with_the_old_one(variable, finished, path, monkeypatch, raw):
    network = {"TINY_WEIGHTS": "tiny_networks:retrained", "TINY_DATA": "tiny_networks:other_data"}[variable]
    study = Study([network], budgets=[0.9, 0.7])
    rows = study.run(path, jobs=1)
    next(rows)
    [*rows] if finished else rows.close()
    before = raw(path), raw(path, "baselines")
    monkeypatch.setenv(variable, "5")
    what = "weights" if variable == "TINY_WEIGHTS" else "data"
    with pytest.raises(
        InputError, match=rf"{network} must keep its {what} during a study; for seed 0 they were sha256:"
    ):
        [*study.run(path, jobs=1)]
    assert (raw(path), raw(path, "baselines")) == before


def test_weights_that_change_amid_a_run_are_seen(path, monkeypatch):
    study = Study(["tiny_networks:retrained"], budgets=[0.9, 0.7, 0.5])
    rows = study.run(path, jobs=1)
    next(rows)
    monkeypatch.setenv("TINY_WEIGHTS", "5")
    module.forget()  # as another worker, which makes the network for itself
    with pytest.raises(InputError, match="must keep its weights during a study"):
        list(rows)
    assert len(Results(path).rows(study)) == 1


@pytest.mark.parametrize("name", ["failing", "alone", "wrong_inputs", "none"])
def test_a_network_that_cannot_be_used_is_named_before_any_cell_is_tried(name, path, tried):
    with pytest.raises(InputError, match=f"tiny_networks:{name}"):
        [*Study(["tiny_networks:mlp", f"tiny_networks:{name}"]).run(path, jobs=1)]
    assert tried == []


def test_the_name_of_a_study_names_its_file(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [*study.run(jobs=1)]
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.sqlite"]


def test_a_number_of_jobs_that_cannot_be_makes_no_file(study, path):
    with pytest.raises(InputError, match="`jobs` must be"):
        next(study.run(path, jobs=0))
    assert not path.exists()


# times


def test_times_are_taken_when_all_parallel_work_has_ended(study, path, clock):
    timed = replace(study, latency_batches=[1, 4])
    given = [*timed.run(path, jobs=2, latency_budget_s=0.125)]
    assert ["batch" in row for row in given] == 6 * [False] + 8 * [True]
    assert [row["batch"] for row in given[6:]] == 4 * [1, 4]
    assert [(batch, budget) for batch, budget, _ in clock] == 4 * [(1, 0.125), (4, 0.125)]
    assert [workers for *_, workers in clock] == 8 * [[]], "processes were alive while times were taken"
    assert Results(path).timings(timed) == given[6:]
    assert {row["speedup"] for row in given[6:]} == {2.0}


def test_times_go_on_where_they_stopped(study, path, clock, raw):
    timed = replace(study, latency_batches=[1, 4])
    rows = timed.run(path, jobs=1)
    given = [next(rows) for _ in range(6 + 3)]
    rows.close()
    before = raw(path, "timings")
    assert len(clock) == 3
    assert Results(path).standing(timed) == f"6 of 6 rows and 3 of their 8 timings are in {path}"
    rest = [*timed.run(path, jobs=1)]
    assert len(clock) == 8
    assert Results(path).timings(timed) == given[6:] + rest
    assert set(before) <= set(raw(path, "timings"))
    assert [*timed.run(path, jobs=1)] == []


def test_times_may_be_asked_for_later(study, path, clock, tried):
    [*study.run(path, jobs=1)]
    rows = [*replace(study, latency_batches=[4]).run(path, jobs=1)]
    assert len(rows) == len(clock) == 4
    assert len(tried) == 6


def test_measured_times_are_of_the_network_in_the_row(path):
    study = Study(["tiny_networks:mlp"], budgets=[0.5], latency_batches=[3])
    row, timed = study.run(path, jobs=1, latency_budget_s=0.01)
    small, dense = Results(path).measurement(row), Results(path).dense(row)
    assert small.timing.batch == dense.timing.batch == timed["batch"] == 3
    assert small.timing.conditions == dense.timing.conditions
    assert small.speedup(dense) == pytest.approx(timed["speedup"], rel=1e-4)
    assert small.timing.median_s == pytest.approx(timed["median_s"], rel=1e-6)


# what is shown


def test_the_bar_counts_what_was_already_there(study, path, monkeypatch):
    bars = []

    class Bar:
        def __init__(self, *, total, desc, initial=0, **options):
            self.total, self.desc, self.n, self.options = total, desc, initial, options
            self.first = initial
            bars.append(self)

        def update(self):
            self.n += 1

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    rows = study.run(path, jobs=1, progress=False)
    [next(rows), next(rows)]
    rows.close()
    monkeypatch.setattr(module, "tqdm", Bar)
    [*study.run(path, jobs=1)]
    assert [(bar.desc, bar.first, bar.n, bar.total) for bar in bars] == [("networks", 0, 2, 2), ("tiny", 2, 6, 6)]
    [*study.run(path, jobs=1, progress=False)]
    assert [bar.options["disable"] for bar in bars] == [None, None, True, True]


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal of its own")
def test_a_terminal_sees_the_time_left(study, path, monkeypatch):
    import pty
    import termios

    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    with os.fdopen(terminal, "w") as screen, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", screen)
        [*study.run(path, jobs=1)]
    shown = ""
    with os.fdopen(controller, "rb", buffering=0) as screen, suppress(OSError):  # a terminal that nobody holds
        while said := screen.read(4096):
            shown += said.decode()
    assert "tiny: 100%" in shown
    assert "6/6 [" in shown
    assert "<" in shown.split("6/6 [")[0], "the time left stands behind the time that went by"


def test_a_shipped_network_by_every_method(path):
    study = Study(["digits-mlp"], methods=["svd", "spatial", "aware"], budgets=[0.3], seeds=[0, 1], cost="macs")
    rows = [*study.run(path, jobs=1)]
    assert {row["status"] for row in rows} == {"measured"}
    for row in rows:
        assert 0.9 < row["accuracy"] <= 1
        assert row["macs"] <= 0.3 * row["dense_macs"]
        assert row["n_examples"] == 500
        assert row["change_low"] <= row["change"] <= row["change_high"]
