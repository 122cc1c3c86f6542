"""What shows a board: a browser, fonts with Japanese letters, JupyterLab with its widgets, the page of Voila."""

import json
import os
import platform
import shutil
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path

from lowrank_kit.doctor.findings import Finding, Say, TrialError, listed
from lowrank_kit.doctor.kit import cure_shipped
from lowrank_kit.doctor.libraries import installed, needs, pip_install, python_command, reinstall, release
from lowrank_kit.doctor.trial import Trial
from lowrank_kit.files import PACKAGE, shipped

__all__ = ["browser", "browser_font", "jupyterlab", "kernel", "plot_font", "voila"]

PORT = 8866  # any would do; an ssh line needs one that is known beforehand
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
APPLICATIONS = ("Google Chrome.app", "Chromium.app", "Microsoft Edge.app")
PROGRAM_FILES = ("Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe")
# package -> its JupyterLab extension: without either, a board is a line of text
EXTENSIONS = {"anywidget": "anywidget", "jupyterlab-widgets": "@jupyter-widgets/jupyterlab-manager"}
TEMPLATE = PACKAGE / "jupyter" / "voila" / "templates" / "lowrank_kit"


def browser(say: Say) -> Finding:
    """One that can be opened from here; a server without a screen has none, and its user's own machine has."""
    name = next(_chromiums(), "")
    chromium = say("chromium_found", name=name) if name else say("chromium_none")
    if not _has_screen():
        windows = "microsoft" in platform.release().lower()  # Linux inside Windows
        cure = say("cure_windows") if windows else say("cure_ssh", port=PORT)
        return Finding("browser", "warning", say("browser_elsewhere", chromium=chromium), cure)
    try:
        opener = getattr(webbrowser.get(), "name", platform.system())
    except webbrowser.Error:
        return Finding("browser", "warning", say("browser_none"), say("cure_browser"))
    return Finding("browser", "ok", say("browser_found", opener=opener, chromium=chromium))


def browser_font(say: Say) -> Finding:
    """Japanese letters on pages: Windows and macOS bring them, a Linux may not."""
    if platform.system() != "Linux":
        return Finding("browser_font", "ok", say("fonts_system", system=platform.system()))
    if not shutil.which("fc-list"):
        return Finding("browser_font", "ok", say("fonts_unknown"))
    answer = subprocess.run(["fc-list", ":lang=ja", "family"], capture_output=True, encoding="utf-8", timeout=20)
    families = {line.split(",")[0].strip() for line in answer.stdout.splitlines() if line.strip()}
    if not families:
        return Finding("browser_font", "warning", say("fonts_none"), say("cure_fonts"))
    return Finding("browser_font", "ok", listed(sorted(families, key=_japan_first), say, most=1))


def plot_font(say: Say, trial: Trial) -> Finding:
    """Japanese letters in pictures, which matplotlib-fontja brings."""
    told = trial.value("font")
    if not told["complete"]:
        return Finding("plot_font", "fault", say("fonts_incomplete", name=told["name"]), reinstall("matplotlib-fontja"))
    return Finding("plot_font", "ok", told["name"])


def jupyterlab(say: Say) -> Finding:
    """JupyterLab finds what draws the boards, whole and made for it."""
    minimum, widgets = needs("ipywidgets").get("jupyterlab-widgets", ""), installed("jupyterlab-widgets")
    if release(widgets) < release(minimum):
        old = say("library_old", name="jupyterlab-widgets", version=widgets or "-", minimum=minimum)
        return Finding("jupyterlab", "fault", old, pip_install(f"jupyterlab-widgets>={minimum}"))
    folders = _data_folders()
    for package, extension in EXTENSIONS.items():
        if fault := _extension_fault(package, extension, folders, say):
            return fault
    versions = {name: installed(name) for name in ("jupyterlab", "anywidget")}
    return Finding("jupyterlab", "ok", say("extensions_found", **versions, widgets=widgets))


def kernel(say: Say) -> Finding:
    """The notebooks' kernel, python3, is this Python: one of another has no kit in it."""
    specs = [folder / "kernels" / "python3" / "kernel.json" for folder in _data_folders()]
    spec = next((spec for spec in specs if spec.is_file()), None)
    program = json.loads(spec.read_text(encoding="utf-8"))["argv"][0] if spec else "python"
    if not installed("ipykernel"):
        return Finding("kernel", "fault", say("library_missing", name="ipykernel"), pip_install("ipykernel"))
    if _is_this_python(program):
        return Finding("kernel", "ok", say("kernel_own"))
    cure = f"{python_command()} -m jupyter kernelspec remove python3"
    return Finding("kernel", "fault", say("kernel_other", program=program), cure)


def voila(say: Say) -> Finding:
    """The kit's page, its template, and the template that it extends."""
    shipped("notebooks", "pages", "rank_board.ipynb")  # its sentence serves where this fails
    for file in (TEMPLATE / "conf.json", TEMPLATE / "index.html.j2"):
        if not file.is_file():
            return Finding("voila", "fault", say("file_missing", path=file), cure_shipped(say))
    base = json.loads((TEMPLATE / "conf.json").read_text(encoding="utf-8"))["base_template"]
    theirs = Path("voila", "templates", base, "index.html.j2")
    if not any((folder / theirs).is_file() for folder in _data_folders()):
        return Finding("voila", "fault", say("file_missing", path=theirs.as_posix()), reinstall("voila"))
    return Finding("voila", "ok", say("template_found", version=installed("voila")))


def _japan_first(family: str) -> tuple[bool, str]:
    """Chinese and Korean editions of a font hold the letters, too, in shapes of their own."""
    return "JP" not in family, family


def _has_screen() -> bool:
    if platform.system() in ("Windows", "Darwin"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _chromiums() -> Iterator[str]:
    """Names of what draws pages as Chromium does, which the browser tests use."""
    yield from filter(shutil.which, CHROMIUMS)
    yield from (name for name in APPLICATIONS if Path("/Applications", name).exists())
    roots = filter(None, map(os.environ.get, ("ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA")))
    yield from (Path(name).name for root in roots for name in PROGRAM_FILES if Path(root, name).exists())


def _data_folders() -> list[Path]:
    """Where Jupyter's programs look for extensions, kernels and templates, the first hit counting."""
    command = [sys.executable, "-m", "jupyter", "--paths", "--json"]
    answer = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=60)
    if answer.returncode:
        raise TrialError((answer.stderr.strip().splitlines() or ["jupyter --paths"])[-1])
    return [Path(folder) for folder in json.loads(answer.stdout)["data"]]


def _extension_fault(package: str, extension: str, folders: list[Path], say: Say) -> Finding | None:
    homes = [folder / "labextensions" / extension for folder in folders]
    home = next((home for home in homes if (home / "package.json").is_file()), None)
    told = json.loads((home / "package.json").read_text(encoding="utf-8")) if home else {}
    if not home or not (home / told["jupyterlab"]["_build"]["load"]).is_file():
        return Finding("jupyterlab", "fault", say("extension_missing", name=package), reinstall(package))
    has, lab = installed(package), installed("jupyterlab")
    # anywidget's extension has anywidget's version; that of jupyterlab-widgets has its own, but names its JupyterLab.
    made_for = told.get("dependencies", {}).get("@jupyterlab/application", "")
    if made_for and f"^{lab.split('.')[0]}." not in made_for:
        other = say("extension_lab", name=package, made_for=made_for, lab=lab)
    elif package == extension and release(told["version"]) != release(has):
        other = say("extension_other", name=package, other=told["version"], version=has)
    else:
        return None
    return Finding("jupyterlab", "fault", other, say("cure_extension", folder=home))


def _is_this_python(program: str) -> bool:
    """Jupyter puts this Python where a bare name stands; links are not followed, an environment's Python being one."""
    names = {"python", "python3", f"python3.{sys.version_info.minor}"}
    folders = {os.path.normcase(Path(path).parent) for path in (program, sys.executable)}
    return program in names or len(folders) == 1
