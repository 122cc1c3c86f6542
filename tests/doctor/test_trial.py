"""Another process tries the libraries: what it returns, and what is said of one that breaks, crashes or hangs."""

from contextlib import closing

import pytest

from lowrank_kit.doctor import trial
from lowrank_kit.doctor.findings import TrialError, UntriedError
from lowrank_kit.doctor.trial import STEPS, Trial


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Modules that the other process finds before all others: modules(torch="raise RuntimeError")."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(**sources):
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)

    return write


@pytest.fixture
def run(say):
    trials = []

    def start(*steps):
        trials.append(Trial(steps, say))
        return trials[-1]

    yield start
    for each in trials:
        each.close()


def test_real_steps_return_what_the_checks_read(english):
    with closing(Trial(["import torch", *STEPS], english)) as real:
        assert real.value("import torch").endswith(".py")
        assert 0 < real.value("arithmetic")["error"] < 1e-4
        assert real.value("threads")["torch"] >= 1
        assert real.value("gpu").keys() == {"cuda", "name", "fault"}
        assert real.value("font")["complete"] is True


def test_a_module_that_raises_does_not_stop_the_others(modules, run):
    modules(broken="raise OSError('a DLL\\n  is missing')", leaving="raise SystemExit('go away')")
    tried = run("import broken", "import leaving", "import json")
    assert tried.value("import json").endswith("__init__.py")
    with pytest.raises(TrialError, match=r"^OSError: a DLL is missing$"):
        tried.value("import broken")
    with pytest.raises(TrialError, match=r"^SystemExit: go away$"):
        tried.value("import leaving")


def test_what_a_module_prints_is_not_taken_for_an_answer(modules, run):
    modules(chatty="import os; print('[]', flush=True); os.write(1, b'{}'); os.write(2, b'!' * 200_000)")
    assert run("import chatty").value("import chatty").endswith("chatty.py")


def test_a_crash_takes_only_the_other_process_along(modules, run):
    modules(crashing="import os; os._exit(42)")
    tried = run("import json", "import crashing", "import math")
    assert tried.value("import json")
    with pytest.raises(TrialError, match="42"):
        tried.value("import crashing")
    with pytest.raises(UntriedError, match="import crashing"):
        tried.value("import math")


def test_a_module_that_hangs_is_not_waited_for(modules, run, monkeypatch):
    monkeypatch.setattr(trial, "PATIENCE_S", 3.0)
    modules(hanging="import time; time.sleep(600)")
    tried = run("import hanging", "import json")
    with pytest.raises(TrialError, match="3"):
        tried.value("import hanging")
    with pytest.raises(UntriedError, match="import hanging"):
        tried.value("import json")


def test_a_python_that_does_not_even_start_is_quoted(modules, run):
    modules(json="raise ValueError('my own file called json')")
    with pytest.raises(TrialError, match="ValueError: my own file called json"):
        run("import torch").value("import torch")


def test_closing_ends_it(modules, english):
    modules(hanging="import time; time.sleep(600)")
    tried = Trial(["import hanging"], english)
    tried.close()
    assert tried.process.poll() is not None
