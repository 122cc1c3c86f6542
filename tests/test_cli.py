"""The command line as a user meets it: a process, its output and its exit status."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest

from lowrank_kit import __version__, cli
from lowrank_kit.files import shipped
from lowrank_kit.measurement.latency import latency
from lowrank_kit.measurement.latency_table import FOLDER, read_table
from lowrank_kit.records import Layer, LayerShape
from lowrank_kit.server import LOOPBACK, Server, ServerError, board_page, free_port, notebook_lab, serve
from lowrank_kit.studies import latency_record
from lowrank_kit.studies.latency_jobs import Job, Setting, Variant

INSTALLED = [str(Path(sys.executable).with_name("lowrank-kit"))]
AS_MODULE = [sys.executable, "-m", "lowrank_kit"]

# The command on a page that needs neither torch nor a board.
ON_A_TRIVIAL_PAGE = """
import sys
from pathlib import Path
from lowrank_kit import cli
cli.shipped = lambda *parts: Path(sys.argv[1])
sys.exit(cli.main(sys.argv[2:]))
"""


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture
def page(tmp_path):
    code = 'import os; print("language", os.environ["LOWRANK_KIT_LANG"], "threads", os.environ["OMP_NUM_THREADS"])'
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)], metadata={"title": "trivial"})
    path = tmp_path / "page.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def demo(page):
    """The running command, which has printed its address."""
    command = [sys.executable, "-c", ON_A_TRIVIAL_PAGE, str(page), "demo", "--no-browser", "--lang", "ja"]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("command", [INSTALLED, AS_MODULE])
def test_the_version_is_the_packages(command):
    assert run(*command, "--version").stdout == f"lowrank-kit {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["demo", "--help"], ["record-latency", "--help"], ["dmeo"], ["demo", "--lang", "fr"]],
)
def test_the_module_is_the_command(arguments):
    installed, module = run(*INSTALLED, *arguments), run(*AS_MODULE, *arguments)
    assert (installed.returncode, installed.stdout, installed.stderr) == (
        module.returncode,
        module.stdout,
        module.stderr,
    )


def test_a_wrong_command_names_the_right_ones():
    answer = run(*AS_MODULE, "dmeo")
    assert answer.returncode == 2
    assert re.search("'?demo'?, '?lab'?", answer.stderr)
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", ["demo", "lab"])
def test_a_port_in_use_gets_one_sentence(command):
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        answer = run(*AS_MODULE, command, "--no-browser", "--port", str(port))
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith(f"lowrank-kit: `--port` must be free; {port} is not (")
    assert answer.stderr.endswith("). Leave it out to use any free port.\n")
    assert answer.stderr.count("\n") == 1


def test_a_port_that_cannot_be_gets_one_sentence(capsys):
    assert cli.main(["demo", "--port", "70000"]) == 2
    assert capsys.readouterr().err == "lowrank-kit: `--port` must be between 1 and 65535; got 70000.\n"


def test_the_shipped_page_is_called_after_the_kit():
    notebook = nbformat.read(shipped("notebooks", "pages", "rank_board.ipynb"), as_version=4)
    assert notebook.metadata.title == "lowrank_kit"


@pytest.mark.skipif(os.name != "posix", reason="ends the command by a signal")
def test_a_demo_starts_answers_on_this_machine_only_and_leaves_nothing_behind(demo):
    assert demo.stdout.readline() == "Starting; Ctrl-C ends it.\n"
    url = demo.stdout.readline().strip()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as reply:
        html = reply.read().decode()
    family = psutil.Process(demo.pid).children(recursive=True)
    listening = {c.laddr.ip for p in family for c in p.net_connections() if c.status == psutil.CONN_LISTEN}

    assert "language ja threads 1" in html
    assert "<title>trivial</title>" in html
    assert "LOWRANK_KIT_LANG" not in html, "the page shows code"
    assert "://cdn" not in html, "the page loads from the network"
    assert listening == {LOOPBACK}

    demo.send_signal(signal.SIGTERM)
    assert demo.wait(timeout=30) == 0
    assert demo.stdout.read() == "", "the address is the last line"
    assert demo.stderr.read() == ""
    assert [p for p in family if p.is_running()] == []


def test_a_server_that_ends_by_itself_is_quoted():
    port = free_port()
    dying = Server([sys.executable, "-c", "print('no templates here')"], port)
    with pytest.raises(ServerError, match="no templates here"):
        serve(dying, os.environ, ready=lambda url: pytest.fail("it never answered"))


@pytest.mark.parametrize("server", [board_page(Path("page.ipynb"), 8866), notebook_lab(Path("notebooks"), 8866)])
def test_servers_listen_on_this_machine_and_on_the_asked_port(server):
    options = " ".join(server.command)
    assert f".ip={LOOPBACK} " in options
    assert ".port=8866 " in options
    assert ".port_retries=0 " in options
    assert server.url.startswith(f"http://{LOOPBACK}:8866/")


def test_the_token_of_the_lab_is_not_on_the_command_line():
    lab = notebook_lab(Path("notebooks"), 8866)
    token = lab.environment["JUPYTER_TOKEN"]
    assert lab.url.endswith(f"?token={token}")
    assert not any(token in argument for argument in lab.command)


def test_the_lab_opens_the_checkouts_notebooks(tmp_path):
    assert cli.writable_notebooks(tmp_path / "copy") == Path(cli.PACKAGE).parent / "notebooks"
    assert not (tmp_path / "copy").exists()


def test_installed_notebooks_are_copied_and_the_readers_own_are_kept(tmp_path, monkeypatch):
    ours, copy = tmp_path / "package" / "_shipped" / "notebooks", tmp_path / "copy"
    (ours / "ja").mkdir(parents=True)
    (ours / "00.ipynb").write_text("new")
    (ours / "ja" / "00.ipynb").write_text("new")
    copy.mkdir()
    (copy / "00.ipynb").write_text("mine")
    monkeypatch.setattr(cli, "PACKAGE", tmp_path / "package")
    monkeypatch.setattr(cli, "shipped", lambda *parts: ours)

    assert cli.writable_notebooks(copy) == copy
    assert (copy / "00.ipynb").read_text() == "mine"
    assert (copy / "ja" / "00.ipynb").read_text() == "new"


def test_an_interrupted_copy_leaves_no_broken_notebook(tmp_path, monkeypatch):
    ours, copy = tmp_path / "package" / "_shipped" / "notebooks", tmp_path / "copy"
    ours.mkdir(parents=True)
    (ours / "00.ipynb").write_text("new")
    monkeypatch.setattr(cli, "PACKAGE", tmp_path / "package")
    monkeypatch.setattr(cli, "shipped", lambda *parts: ours)

    def interrupted(source, target):
        Path(target).write_text("ne")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(cli.shutil, "copyfile", interrupted)
        cli.writable_notebooks(copy)
    assert [*copy.iterdir()] == []
    assert (cli.writable_notebooks(copy) / "00.ipynb").read_text() == "new"


def test_a_place_that_cannot_be_written_gets_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "a file").touch()
    monkeypatch.setattr(cli, "PACKAGE", cli.PACKAGE.parent)
    monkeypatch.setattr(cli, "COPY", tmp_path / "a file" / "copy")
    assert cli.main(["lab", "--no-browser"]) == 2
    assert capsys.readouterr().err.startswith("lowrank-kit: the notebooks must be copied to ")


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What recording is asked for, in place of the recording; in a folder of its own."""
    calls = []

    def record(folder, device, **options):
        calls.append((folder, device, options))
        folder = tmp_path / folder.name
        if options["minutes"]:
            folder.mkdir(parents=True)
            (folder / "a-device.csv").touch()
        return folder / "a-device.csv"

    monkeypatch.setattr(latency_record, "record", record)
    monkeypatch.setattr(latency_record, "keep_ceilings", lambda folder, device: None)
    monkeypatch.chdir(tmp_path)
    return calls


@pytest.mark.parametrize(
    ("arguments", "folder", "device", "minutes"),
    [
        ([], FOLDER, "cpu", 9.0),
        (["--device", "cuda"], FOLDER, "cuda", 9.0),
        (["--minutes", "0.5", "--folder", "times/here"], "times/here", "cpu", 0.5),
    ],
)
def test_latency_is_recorded_as_asked_and_the_table_named(arguments, folder, device, minutes, asked, tmp_path, capsys):
    """In the folder where boards look, unless another is asked for."""
    assert cli.main(["record-latency", *arguments]) == 0
    assert asked == [(Path(folder), device, {"minutes": minutes})]
    table = tmp_path / Path(folder).name / "a-device.csv"
    assert capsys.readouterr() == (f"{table} holds what was timed.\n", "")


def test_ceilings_are_kept_beside_the_table(asked, monkeypatch, tmp_path):
    kept = []
    monkeypatch.setattr(latency_record, "keep_ceilings", lambda *where: kept.append(where))
    cli.main(["record-latency"])
    cli.main(["record-latency", "--device", "cuda", "--folder", str(tmp_path / "times")])
    assert kept == [(FOLDER, "cpu"), (tmp_path / "times", "cuda")]
    assert [call[:2] for call in asked] == kept


def test_where_there_was_no_time_nothing_is_claimed(asked, capsys):
    assert cli.main(["record-latency", "--minutes", "0"]) == 0
    assert len(asked) == 1
    assert capsys.readouterr().out == "nothing was timed.\n"


@pytest.mark.parametrize("arguments", [["--minutes", "ten"], ["--batch", "3"], ["here"]])
def test_options_that_recording_does_not_have_are_refused(arguments, asked, capsys):
    with pytest.raises(SystemExit) as ending:
        cli.main(["record-latency", *arguments])
    assert ending.value.code == 2
    assert arguments[-1] in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("gpu", "`device` must be one of 'cpu', 'cuda'; got 'gpu'."),
        ("cuda", "`device` can't be 'cuda': PyTorch finds no CUDA device here."),
    ],
)
def test_recording_on_a_device_that_is_not_there_gets_one_sentence(device, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(latency_record.torch.cuda, "is_available", lambda: False)
    assert cli.main(["record-latency", "--device", device, "--folder", str(tmp_path / "times")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"lowrank-kit: {sentence}")
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "times").exists()


@pytest.fixture
def points(tmp_path):
    """A file of arrays: inputs of two directions in ten, under two usual names, and their classes."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 10))
    np.savez(tmp_path / "points.npz", train_x=x, train_y=np.arange(60) % 3, test_x=x[:30], other=np.arange(60) % 7)
    return tmp_path / "points.npz"


@pytest.mark.parametrize(
    ("arguments", "names", "said"),
    [
        ([], "x = train_x, y = train_y", "2 × 3 < 10"),
        (["--y", "other"], "x = train_x, y = other", "2 × 7 ≥ 10"),
        (["--y", "other", "--width", "99"], "x = train_x, y = other", "2 × 7 < 99"),
        (["--x", "test_x"], "x = test_x", "Yes: points has few dimensions"),
        (["--lang", "ja"], "x = train_x, y = train_y", "はい。pointsは少ない次元に"),
    ],
)
def test_data_are_diagnosed(points, arguments, names, said, capsys):
    assert cli.main(["diagnose", str(points), *arguments]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == names
    assert said in out
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--x", "test_y"], "`--x` must be one of 'train_x', 'train_y', 'test_x', 'other'; got 'test_y'."),
        (["--y", "oter"], "`--y` must be one of 'train_x', 'train_y', 'test_x', 'other'; got 'oter'. Did you mean"),
        (["--x", "test_x", "--y", "train_y"], "`y` must hold one target a point, (points,) or (points, q); got (60,)"),
        (["--x", "other"], "`x` must hold one row of numbers a point"),
    ],
)
def test_arrays_that_do_not_suit_get_one_sentence(points, arguments, sentence, capsys):
    assert cli.main(["diagnose", str(points), *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"lowrank-kit: {sentence}")


def test_inputs_of_an_unusual_name_are_asked_for(tmp_path, capsys):
    np.savez(tmp_path / "named.npz", features=np.eye(3), labels=np.arange(3))
    assert cli.main(["diagnose", str(tmp_path / "named.npz")]) == 2
    assert "`--x` must name the inputs, one of features, labels;" in capsys.readouterr().err


def test_a_file_that_is_not_there_gets_one_sentence(tmp_path, capsys):
    assert cli.main(["diagnose", str(tmp_path / "none.npz")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.endswith("it is not there.\n")


def test_recording_keeps_what_was_timed_before_ctrl_c(tmp_path, monkeypatch, capsys):
    layer = Layer("net", "fc", LayerShape(4, 3))
    jobs = [Job("net", layer, Setting(batch, "float32", "contiguous"), (Variant(),)) for batch in (1, 2)]
    monkeypatch.setattr(latency_record, "jobs", lambda device: iter(jobs))
    monkeypatch.setattr(latency_record, "BUDGET_S", {"cpu": 0.0})
    monkeypatch.setattr(latency_record, "keep_ceilings", lambda folder, device: None)

    def interrupted_at_the_second(models, x, *, batch, **options):
        if batch == 2:
            raise KeyboardInterrupt
        return latency(models, x, batch=batch, **options)

    monkeypatch.setattr(latency_record, "latency", interrupted_at_the_second)
    monkeypatch.setattr(cli.signal, "signal", lambda *ignored: None)
    assert cli.main(["record-latency", "--folder", str(tmp_path / "times")]) == 130
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in out.splitlines()] == ["1 of 2", "2 of 2"]
    assert err == "lowrank-kit: cancelled.\n"
    (table,) = (tmp_path / "times").iterdir()
    assert [(row.layer, row.batch) for row in read_table(table)] == [("fc", 1)]
