"""The command line: `lowrank-kit demo` shows the rank board as a page, `lowrank-kit lab` opens the notebooks."""

import argparse
import shutil
import signal
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.doctor.libraries import installed
from lowrank_kit.doctor.report import diagnose
from lowrank_kit.files import PACKAGE, shipped, write_beside
from lowrank_kit.i18n import LANGUAGES
from lowrank_kit.server import (
    ENDINGS,
    Server,
    ServerError,
    board_page,
    check_port,
    environment,
    free_port,
    notebook_lab,
    serve,
)

__all__ = ["main"]

# What inputs are usually called in a file of arrays.
INPUTS = ("x", "X", "train_x", "x_train", "X_train")
COPY = Path("lowrank-kit-notebooks")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 2 where something was asked wrongly, 130 after Ctrl-C, with one sentence."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except InputError as fault:
        print(f"lowrank-kit: {fault}", file=sys.stderr)
        return 2
    except ServerError as fault:
        print(f"lowrank-kit: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as ending:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second one
        print(f"lowrank-kit: {str(ending) or 'cancelled.'}", file=sys.stderr)
        return 130


def demo(options: argparse.Namespace) -> None:
    """Serve the rank board as a page without code."""
    _serve(board_page(shipped("notebooks", "pages", "rank_board.ipynb"), _port(options.port)), options)


def lab(options: argparse.Namespace) -> None:
    """Open the notebooks in JupyterLab."""
    _serve(notebook_lab(writable_notebooks(COPY), _port(options.port)), options)


def doctor(options: argparse.Namespace) -> int:
    """Say on one screen whether this machine is ready, and how to cure what is not."""
    return diagnose(options.lang)


def study(options: argparse.Namespace) -> None:
    """Run the study in a YAML file, or go on with it, and print what came out."""
    _end_as_by_ctrl_c()
    sys.path.append(str(Path.cwd()))  # where one's own networks are looked for, after all that is installed
    from lowrank_kit.studies.grid import Study
    from lowrank_kit.studies.results import Results
    from lowrank_kit.studies.summary import as_text, summary

    asked = Study.from_yaml(options.file)
    results = Results(options.out or f"{asked.name}.sqlite")
    for _ in asked.run(results.file, jobs=options.jobs):
        pass
    print(as_text(asked, summary(results, asked)))
    print(f"{results.standing(asked)}.")


def record_latency(options: argparse.Namespace) -> None:
    """Time layers of well-known networks on this machine, most telling first, and go on next time."""
    from lowrank_kit.measurement.latency_table import FOLDER
    from lowrank_kit.studies.latency_record import keep_ceilings, record

    _end_as_by_ctrl_c()
    folder = options.folder or FOLDER
    keep_ceilings(folder, options.device)
    path = record(folder, options.device, minutes=options.minutes)
    print(f"{path} holds what was timed." if path.exists() else "nothing was timed.")


def diagnosis(options: argparse.Namespace) -> None:
    """Say whether data in a .npz file have the few dimensions that low rank lives on, and why."""
    from lowrank_kit.files import read_npz
    from lowrank_kit.methods.diagnosis import diagnose
    from lowrank_kit.methods.diagnosis_text import as_text

    arrays = read_npz(options.file)
    x = options.x or next((name for name in INPUTS if name in arrays), None)
    if x is None:
        raise InputError(
            f"`--x` must name the inputs, one of {', '.join(arrays)}; none of them is called x or train_x."
        )
    check_name(x, arrays, name="--x")
    y = options.y or next((name for name in _partners(x) if name in arrays), None)
    if y is not None:
        check_name(y, arrays, name="--y")
    found = diagnose(arrays[x], None if y is None else arrays[y], name=options.file.stem, width=options.width)
    print(f"x = {x}" + (f", y = {y}" if y else ""), end="\n\n")
    print(as_text(found, options.lang))


def writable_notebooks(copy: Path) -> Path:
    """The checkout's notebooks; of an installed package, a copy at `copy`, where files that are there already stay."""
    notebooks = shipped("notebooks")
    if not notebooks.is_relative_to(PACKAGE):
        return notebooks
    try:
        shutil.copytree(notebooks, copy, copy_function=_copy_if_absent, dirs_exist_ok=True)
    except OSError as fault:
        raise InputError(f"the notebooks must be copied to {copy.resolve()} to be run; {fault}.") from None
    return copy.resolve()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lowrank-kit", description=__doc__)
    parser.add_argument("--version", action="version", version=f"lowrank-kit {installed('lowrank-kit') or '?'}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for run in (demo, lab):
        command = commands.add_parser(run.__name__, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        command.add_argument("--port", type=int, help="default: any free port")
        command.add_argument("--no-browser", action="store_true", help="only print the address")
        command.add_argument("--lang", choices=LANGUAGES, help="language of the boards")
    command = commands.add_parser(doctor.__name__, help=doctor.__doc__, description=doctor.__doc__)
    command.set_defaults(run=doctor)
    command.add_argument("--lang", choices=LANGUAGES, help="language of the screen")
    command = commands.add_parser(study.__name__, help=study.__doc__, description=study.__doc__)
    command.set_defaults(run=study)
    command.add_argument("file", type=Path, help="a study in YAML; notebooks/studies/budgets.yaml is one")
    command.add_argument(
        "--out", type=Path, help="the SQLite file of results; default: the study's name, in this folder"
    )
    command.add_argument("--jobs", type=int, default=-1, help="how many cells at once; default: one for each processor")
    command = commands.add_parser("record-latency", help=record_latency.__doc__, description=record_latency.__doc__)
    command.set_defaults(run=record_latency)
    command.add_argument("--device", default="cpu", help="cpu, the default, or cuda")
    command.add_argument("--minutes", type=float, default=9.0, help="begin nothing new after so many; default: 9")
    command.add_argument("--folder", type=Path, help="of the tables; default: this user's, where boards look")
    command = commands.add_parser("diagnose", help=diagnosis.__doc__, description=diagnosis.__doc__)
    command.set_defaults(run=diagnosis)
    command.add_argument("file", type=Path, metavar="DATA.npz", help="arrays, as numpy.savez writes them")
    command.add_argument("--x", metavar="NAME", help=f"the inputs, a row a point; default: {', '.join(INPUTS)}")
    command.add_argument("--y", metavar="NAME", help="classes or outputs; default: called as the inputs, with y for x")
    command.add_argument("--width", type=int, help="of the layers in question; default: as wide as the inputs")
    command.add_argument("--lang", choices=LANGUAGES, help="language of the answer")
    return parser


def _partners(x: str) -> list[str]:
    """What the targets of inputs of this name may be called: test_y of test_x, y of X."""
    return [name for name in (x.replace("x", "y"), x.replace("X", "y"), x.replace("X", "Y")) if name != x]


def _end_as_by_ctrl_c() -> None:
    """Whatever ends this process lets it keep what it has."""
    for number in ENDINGS:
        if signal.getsignal(number) is signal.SIG_DFL:  # one that is ignored, as under nohup, stays so
            signal.signal(number, signal.default_int_handler)


def _port(asked: int | None) -> int:
    if asked is None:
        return free_port()
    check_port(asked)
    return asked


def _serve(server: Server, options: argparse.Namespace) -> None:
    print("Starting; Ctrl-C ends it.", flush=True)
    serve(server, environment(options.lang), lambda url: _show(url, browser=not options.no_browser))


def _show(url: str, *, browser: bool) -> None:
    if browser:
        webbrowser.open(url)
    print(url, flush=True)


def _copy_if_absent(source: str, target: str) -> None:
    if not Path(target).exists():
        write_beside(Path(target), lambda part: shutil.copyfile(source, part))
