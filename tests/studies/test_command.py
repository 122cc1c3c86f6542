"""`lowrank-kit study` as a user meets it: a process, its output and its exit status."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lowrank_kit import cli
from lowrank_kit.checks import InputError
from lowrank_kit.studies.grid import Study
from lowrank_kit.studies.results import Results

TINY = """
networks: ["tiny_networks:mlp"]
budgets: [0.9, 0.6, 0.01]
seeds: [0, 1]
"""
SLOW = """
networks: ["tiny_networks:slow"]
methods: [svd, aware]
budgets: [0.9, 0.8, 0.7, 0.6, 0.5]
seeds: [0, 1]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with networks of one's own and two studies of them."""
    shutil.copy(Path(__file__).parent / "tiny_networks.py", tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "slow.yaml").write_text(SLOW)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def handlers():
    """The command takes signals; they are given back."""
    before = {number: signal.getsignal(number) for number in cli.ENDINGS}
    path = [*sys.path]
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.path[:] = path


def started(*arguments):
    command = [str(Path(sys.executable).with_name("lowrank-kit")), "study", *arguments]
    posix = {"start_new_session": True, "preexec_fn": hear_interrupts} if os.name == "posix" else {}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **posix)


def hear_interrupts():
    """As in a terminal: what is started in the background, as these tests may be, ignores Ctrl-C from birth."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def n_rows(study):
    try:
        return len(Results(f"{study.name}.sqlite").rows(study))
    except InputError:  # not there yet
        return 0


@pytest.mark.usefixtures("handlers")
def test_a_study_prints_a_table_and_where_the_rows_are(folder, capsys):
    assert cli.main(["study", "tiny.yaml", "--jobs", "1"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("network")
    assert [line.split()[3] for line in lines[1:4]] == ["0.9", "0.6", "0.01"]
    assert lines[-1] == "6 of 6 rows are in tiny.sqlite."
    assert err == ""
    assert len(Results("tiny.sqlite").rows(Study.from_yaml("tiny.yaml"))) == 6

    assert cli.main(["study", "tiny.yaml", "--jobs", "1"]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.usefixtures("handlers")
def test_results_go_where_they_are_asked_to(folder, capsys):
    (folder / "there").mkdir()
    assert cli.main(["study", "tiny.yaml", "--jobs", "1", "--out", "there/rows.db"]) == 0
    assert [file.name for file in (folder / "there").iterdir()] == ["rows.db"]
    assert capsys.readouterr().out.splitlines()[-1] == f"6 of 6 rows are in {Path('there', 'rows.db')}."


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.yaml"], "none.yaml: a study must be a file that can be read; No such file or directory."),
        (["tiny.yaml", "--jobs", "0"], "`jobs` must be a whole number of at least 1, or -1 for all processors; got 0."),
        (["tiny.yaml", "--out", "tiny.yaml"], "tiny.yaml must be a whole SQLite file; it is damaged or something else"),
        (["tiny.yaml", "--out", "no/rows.db"], "must be a file in no, a folder that is there"),
    ],
)
def test_what_was_asked_wrongly_gets_one_sentence(folder, capsys, arguments, sentence):
    assert cli.main(["study", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("lowrank-kit: ")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="ends the command by a signal")
@pytest.mark.parametrize(("ending", "jobs"), [(signal.SIGINT, "2"), (signal.SIGTERM, "1")])
def test_a_signal_keeps_what_is_done_and_ends_all_that_was_started(folder, ending, jobs):
    study = Study.from_yaml("slow.yaml")
    with started("slow.yaml", "--jobs", jobs) as command:
        while not n_rows(study):
            assert command.poll() is None, command.stderr.read()
            time.sleep(0.05)
        family = psutil.Process(command.pid).children(recursive=True)
        # Ctrl-C in a terminal reaches workers too.
        (os.killpg if ending == signal.SIGINT else os.kill)(command.pid, ending)
        out, err = command.communicate(timeout=60)
    there = n_rows(study)
    assert command.returncode == 130
    assert out == ""
    assert err == (
        f"lowrank-kit: cancelled; {there} of 20 rows are in slow.sqlite. Run the study again to go on from there.\n"
    )
    assert 1 <= there < 20
    assert psutil.wait_procs(family, timeout=60)[1] == []
