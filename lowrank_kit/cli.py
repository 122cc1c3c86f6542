"""The command line: `lowrank-kit demo` shows the rank board as a page, `lowrank-kit lab` opens the notebooks."""

import argparse
import shutil
import sys
import webbrowser
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from lowrank_kit.checks import InputError
from lowrank_kit.files import PACKAGE, shipped, write_beside
from lowrank_kit.i18n import LANGUAGES
from lowrank_kit.server import Server, ServerError, board_page, check_port, environment, free_port, notebook_lab, serve

__all__ = ["main"]

COPY = Path("lowrank-kit-notebooks")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 2, with one sentence, where something was asked wrongly."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except InputError as fault:
        print(f"lowrank-kit: {fault}", file=sys.stderr)
        return 2
    except ServerError as fault:
        print(f"lowrank-kit: {fault}", file=sys.stderr)
        return 1
    return 0


def demo(options: argparse.Namespace) -> None:
    """Serve the rank board as a page without code."""
    _serve(board_page(shipped("notebooks", "pages", "rank_board.ipynb"), _port(options.port)), options)


def lab(options: argparse.Namespace) -> None:
    """Open the notebooks in JupyterLab."""
    _serve(notebook_lab(writable_notebooks(COPY), _port(options.port)), options)


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
    parser.add_argument("--version", action="version", version=f"lowrank-kit {version('lowrank-kit')}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for run in (demo, lab):
        command = commands.add_parser(run.__name__, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        command.add_argument("--port", type=int, help="default: any free port")
        command.add_argument("--no-browser", action="store_true", help="only print the address")
        command.add_argument("--lang", choices=LANGUAGES, help="language of the boards")
    return parser


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
