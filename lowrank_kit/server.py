"""A Jupyter server of the kit's own: on this machine only, and gone without a trace when it is told to stop."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lowrank_kit.checks import InputError
from lowrank_kit.files import PACKAGE

if TYPE_CHECKING:
    import psutil

__all__ = [
    "LOOPBACK",
    "Server",
    "ServerError",
    "board_page",
    "check_port",
    "environment",
    "free_port",
    "notebook_lab",
    "running",
    "serve",
]

LOOPBACK = "127.0.0.1"
START_S, STOP_S = 120.0, 10.0

# A closed terminal (SIGHUP) and a service manager (SIGTERM) ask for the same as Ctrl-C; Windows knows fewer signals.
ENDINGS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class ServerError(RuntimeError):
    """The server ended although nobody asked it to; the message is what it said last."""


@dataclass(frozen=True)
class Server:
    """How to start a server, and where it will be found."""

    command: list[str]
    port: int
    path: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}{self.path}"


def free_port() -> int:
    """A port nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def check_port(port: int) -> None:
    """Raise InputError unless a server can be started on this port."""
    if not 1 <= port <= 65535:
        raise InputError(f"`--port` must be between 1 and 65535; got {port}.")
    with socket.socket() as probe:
        if os.name == "posix":  # as the server itself will: a port whose last connections are still closing is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as fault:
            raise InputError(
                f"`--port` must be free; {port} is not ({fault.strerror}). Leave it out to use any free port."
            ) from None


def environment(lang: str | None = None) -> dict[str, str]:
    """This process's environment for a server's kernels, with one thread each and the language of their boards."""
    # Two BLAS threads on two busy cores make one decomposition 10 to 20 times slower than one thread does.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {**threads, **os.environ, **({"LOWRANK_KIT_LANG": lang} if lang else {})}


def board_page(notebook: Path, port: int, *, preheat: bool = True) -> Server:
    """Voila on one notebook: its outputs as a page, no code, nothing loaded from the network.

    With `preheat` the first visitor meets a kernel that has already run.
    """
    options = {
        "Voila.ip": LOOPBACK,
        "Voila.port": port,
        "Voila.port_retries": 0,
        "Voila.open_browser": False,
        "Voila.log_level": "ERROR",
        "VoilaConfiguration.template": "lowrank_kit",
        "VoilaConfiguration.strip_sources": True,
        "VoilaConfiguration.preheat_kernel": preheat,
        # A page that is left asks for its kernel's end without the token this checks for (voila issue 1458), and the
        # kernel would stay. Nothing else can be posted, and that only by who knows the kernel's random name.
        "Voila.tornado_settings": {"disable_check_xsrf": True},
    }
    paths = [str(PACKAGE / "jupyter"), os.environ.get("JUPYTER_PATH", "")]
    search = {"JUPYTER_PATH": os.pathsep.join(filter(None, paths))}
    return Server(_command("voila", options, str(notebook)), port, environment=search)


def notebook_lab(folder: Path, port: int) -> Server:
    """JupyterLab on a folder, asking nothing of the network (news, updates, extensions)."""
    options = {
        "ServerApp.ip": LOOPBACK,
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,  # in a container everybody is root; the address and the token guard there too
        "ServerApp.root_dir": folder,
        "ServerApp.log_level": "ERROR",
        "LabApp.news_url": None,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.extension_manager": "readonly",
    }
    # Through the environment: other users of the machine can read a command line, and a notebook runs any code.
    token = secrets.token_urlsafe(24)
    return Server(_command("jupyterlab", options), port, f"/lab?token={token}", {"JUPYTER_TOKEN": token})


def serve(server: Server, variables: Mapping[str, str], ready: Callable[[str], object]) -> None:
    """Start a server, call `ready` with its address once it answers, and keep it until somebody asks to end.

    Whatever it started is ended with it. Raises ServerError where it ends by itself.
    """
    with _handled(ENDINGS, signal.default_int_handler), tempfile.TemporaryFile() as log:
        try:
            with running(server, variables, log) as process:
                ready(server.url)
                process.wait()
                raise _fault(log)
        except KeyboardInterrupt:
            return


def _command(module: str, options: Mapping[str, Any], *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *(f"--{name}={value}" for name, value in options.items()), *arguments]


@contextmanager
def running(
    server: Server, variables: Mapping[str, str], log: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers; whatever it started is ended when the block is left. What it says goes to `log`.

    Raises ServerError where it ends before it answers.
    """
    import psutil  # noqa: F401 (what ends the server must be there before anything starts)

    with nullcontext(log) if log else tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            server.command,
            env={**variables, **server.environment},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process only, which ends the others in order
        )
        try:
            _wait_for_answer(process, server.port, said)
            yield process
        finally:
            with _handled(ENDINGS, signal.SIG_IGN):  # an impatient second Ctrl-C must not leave kernels behind
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    import psutil

    family = _family(process.pid)
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=STOP_S)
    for survivor in alive:
        survivor.kill()
    process.wait()


def _family(pid: int) -> "list[psutil.Process]":
    import psutil

    try:
        parent = psutil.Process(pid)
        return [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return []


def _wait_for_answer(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise _fault(log)
        time.sleep(0.1)


def _answers(port: int) -> bool:
    # A connection is enough, and a request is not harmless: it would use up a page.
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def _fault(log: IO[bytes]) -> ServerError:
    log.seek(0)
    said = log.read().decode(errors="replace").strip()[-2000:]
    return ServerError(f"the server stopped by itself; it said:\n{said or '(nothing)'}")


@contextmanager
def _handled(numbers: Collection[signal.Signals], handler: Any) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
