"""The command as a user meets it: its screen, its exit status, and never a traceback."""

import os
import subprocess
import sys

import pytest

from lowrank_kit import cli
from lowrank_kit.doctor import report
from lowrank_kit.doctor.findings import Finding, TrialError, examined, listed, one_line
from lowrank_kit.doctor.screen import LINES, WIDTH, columns
from lowrank_kit.i18n import strings

CHECKS = [
    "python", "libraries", "pytorch", "gpu", "threads", "memory", "disk", "data", "notebooks", "language", "port",
    "browser", "browser_font", "plot_font", "jupyterlab", "kernel", "voila",
]  # fmt: skip
OK = Finding("disk", "ok", "8 GB")
WARNING = Finding("browser", "warning", "no screen", "look elsewhere")
FAULT = Finding("data", "fault", "damaged", "install again")


def doctor(*arguments, **variables):
    """The command in a process of its own; its standard output as lines."""
    answer = subprocess.run(
        [sys.executable, "-m", "lowrank_kit", "doctor", *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        encoding="utf-8",
        timeout=200,
    )
    assert "Traceback" not in answer.stdout + answer.stderr
    return answer.returncode, answer.stdout.splitlines(), answer.stderr


@pytest.fixture
def found(monkeypatch):
    """Replace the checks by findings of one's own."""
    monkeypatch.delenv("LOWRANK_KIT_LANG", raising=False)
    return lambda *findings: monkeypatch.setattr(report, "examine", lambda say: [*findings])


@pytest.mark.parametrize(("findings", "status"), [((OK,), 0), ((OK, WARNING), 0), ((FAULT, OK, WARNING), 1)])
def test_only_a_fault_is_an_exit_status(findings, status, found, capsys):
    found(*findings)
    assert cli.main(["doctor"]) == status
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(findings) + sum(bool(f.cure) for f in findings)


def test_a_real_run_examines_everything_and_no_check_breaks(english):
    findings = report.examine(english)
    assert [finding.name for finding in findings] == CHECKS
    assert {key for key in strings("doctor", "en") if key.startswith("name_")} == {f"name_{name}" for name in CHECKS}
    assert [finding for finding in findings if finding.cure == english("cure_unexpected")] == []
    assert [finding.name for finding in findings if finding.state == "fault" and not finding.cure] == []


@pytest.mark.parametrize(("language", "width"), [("en", 80), ("ja", 80), ("en", 200)])
def test_a_broken_torch_still_gets_a_whole_screen(language, width, tmp_path):
    (tmp_path / "torch.py").write_text("raise RuntimeError('broken on purpose')")
    status, lines, _ = doctor("--lang", language, PYTHONPATH=str(tmp_path), COLUMNS=str(width))
    text = strings("doctor", language)
    assert status == 1
    assert len(lines) <= LINES
    assert max(map(columns, lines)) <= min(width, WIDTH)
    assert any("PyTorch" in line and "RuntimeError" in line for line in lines)
    assert text["gpu_unknown"] in "".join(lines)
    assert text["cure_unexpected"][:9] not in "".join(lines)


def test_it_speaks_although_every_library_is_broken(tmp_path):
    libraries = ("numpy", "scipy", "torch", "psutil", "matplotlib", "anywidget", "ipywidgets", "traitlets", "seaborn")
    for name in (*libraries, "voila", "jupyterlab", "safetensors", "tensorly", "threadpoolctl", "IPython", "tqdm"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('broken on purpose')")
    status, lines, _ = doctor("--lang", "en", PYTHONPATH=str(tmp_path))
    assert status == 1
    assert len(lines) <= LINES
    assert any("numpy does not load: ImportError: broken on purpose and 15 more" in line for line in lines)
    assert lines[-1].startswith("Not ready: ")


@pytest.mark.parametrize(
    ("asked", "variable", "spoken"),
    [("ja", "", "ja"), (None, "ja", "ja"), ("en", "ja", "en"), (None, "fr", "en"), (None, "", "en")],
)
def test_the_language_is_the_one_asked_for_else_the_variables(asked, variable, spoken, found, capsys, monkeypatch):
    found(OK)
    monkeypatch.setenv("LOWRANK_KIT_LANG", variable)
    assert cli.main(["doctor", *(["--lang", asked] if asked else [])]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == strings("doctor", spoken)["ready"]


@pytest.mark.parametrize(
    ("encoding", "language"), [("utf-8", "ja"), ("cp932", "ja"), ("cp1252", "en"), ("ascii", "en")]
)
def test_a_terminal_without_japanese_letters_gets_english(encoding, language, found, tmp_path, monkeypatch):
    found(OK, Finding("disk", "ok", "8 GB in /home/Zoë/資料"))
    with open(tmp_path / "out", "w", encoding=encoding) as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert cli.main(["doctor", "--lang", "ja"]) == 0
    assert (tmp_path / "out").read_text(encoding=encoding).splitlines()[-1] == strings("doctor", language)["ready"]


def test_a_check_that_fails_is_a_fault_in_one_line(say):
    def failing():
        raise KeyError("first\nsecond")

    finding = examined("voila", failing, say)
    assert (finding.name, finding.state, finding.found) == ("voila", "fault", r"KeyError: 'first\nsecond'")
    assert finding.cure == say("cure_unexpected")


@pytest.mark.parametrize("fault", [ImportError("no psutil"), TrialError("not reached")])
def test_a_check_that_stumbles_over_a_library_known_to_be_broken_cannot_tell(fault, say):
    def stumbling():
        raise fault

    assert examined("memory", stumbling, say).state == "fault"
    finding = examined("memory", stumbling, say, without_libraries=True)
    assert (finding.state, finding.cure) == ("warning", "")
    assert say("name_libraries") in finding.found


def test_any_other_failure_stays_a_fault_without_libraries(say):
    assert examined("data", lambda: 1 / 0, say, without_libraries=True).found == "ZeroDivisionError: division by zero"


def test_a_long_message_is_cut():
    text = one_line(ValueError("word " * 100))
    assert len(text) == 160
    assert text.endswith("...")
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_of_many_names_the_first_are_told(english):
    assert listed(["a", "b"], english) == "a, b"
    assert listed(list("abcdef"), english) == "a, b, c, d and 2 more"


def test_an_impatient_user_gets_no_traceback(monkeypatch, capsys):
    def interrupted(say):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "examine", interrupted)
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err.count("\n") <= 1
