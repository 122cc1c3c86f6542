"""Browser, fonts, JupyterLab's extensions, the kernel and Voila's templates, in order and not."""

import json
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path
from types import SimpleNamespace

import pytest

from lowrank_kit.doctor import display, kit
from lowrank_kit.doctor.findings import TrialError

VERSIONS = {
    "anywidget": "0.9.21",
    "ipykernel": "7.0.0",
    "jupyterlab": "4.6.6",
    "jupyterlab-widgets": "3.0.17",
    "voila": "0.5.13",
}
MANAGER = {"version": "5.0.16", "dependencies": {"@jupyterlab/application": "^3.0.0 || ^4.0.0"}}


class TestBrowser:
    @pytest.fixture(autouse=True)
    def nothing_installed(self, monkeypatch):
        monkeypatch.setattr(display, "_chromiums", lambda: iter(()))

    @pytest.fixture
    def opens(self, monkeypatch):
        monkeypatch.setattr(webbrowser, "get", lambda: SimpleNamespace(name="xdg-open"))

    @pytest.mark.parametrize(
        ("system", "variables"),
        [
            ("Linux", {"DISPLAY": ":0"}),
            ("Linux", {"WAYLAND_DISPLAY": "wayland-0"}),
            ("Linux", {"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "forwards windows"}),
            ("Windows", {}),
            ("Darwin", {}),
        ],
    )
    def test_one_that_opens_is_in_order(self, system, variables, say, on, opens):
        on(system, **variables)
        finding = display.browser(say)
        assert (finding.state, finding.cure) == ("ok", "")
        assert "xdg-open" in finding.found

    def test_a_chromium_is_named(self, say, on, opens, monkeypatch):
        on("Windows")
        monkeypatch.setattr(display, "_chromiums", lambda: iter(["msedge.exe", "chrome.exe"]))
        assert "msedge.exe" in display.browser(say).found

    def test_an_opener_without_a_name_is_the_systems(self, say, on, monkeypatch):
        on("Windows")
        monkeypatch.setattr(webbrowser, "get", object)
        assert "Windows" in display.browser(say).found

    @pytest.mark.parametrize(
        ("system", "variables"),
        [("Linux", {}), ("Darwin", {"SSH_CONNECTION": "1"}), ("Windows", {"SSH_CONNECTION": "1"})],
    )
    def test_a_server_without_a_screen_is_told_how_to_be_seen(self, system, variables, say, on, opens):
        on(system, **variables)
        finding = display.browser(say)
        assert finding.state == "warning"
        assert "--no-browser --port 8866" in finding.cure
        assert "ssh -L 8866:127.0.0.1:8866" in finding.cure

    def test_linux_inside_windows_has_the_browser_of_windows(self, say, on, monkeypatch):
        on("Linux")
        monkeypatch.setattr("platform.release", lambda: "5.15.153.1-microsoft-standard-WSL2")
        finding = display.browser(say)
        assert finding.state == "warning"
        assert "Windows" in finding.cure and "ssh" not in finding.cure

    def test_none_is_a_warning(self, say, on, monkeypatch):
        def nothing():
            raise webbrowser.Error("could not locate runnable browser")

        on("Linux", DISPLAY=":0")
        monkeypatch.setattr(webbrowser, "get", nothing)
        finding = display.browser(say)
        assert (finding.state, bool(finding.cure)) == ("warning", True)


def test_chromiums_are_found_by_name_and_by_place(monkeypatch, tmp_path):
    edge = tmp_path / "Microsoft" / "Edge" / "Application" / "msedge.exe"
    edge.parent.mkdir(parents=True)
    edge.touch()
    monkeypatch.setenv("ProgramFiles", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == "google-chrome" else None)
    found = [*display._chromiums()]
    assert "google-chrome" in found and "msedge.exe" in found
    assert "chromium" not in found


class TestFonts:
    @pytest.fixture
    def listed(self, monkeypatch, on):
        """fc-list, saying this."""

        def say(text):
            on("Linux")
            monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
            monkeypatch.setattr(display.subprocess, "run", lambda *a, **k: SimpleNamespace(stdout=text, returncode=0))

        return say

    @pytest.mark.parametrize("system", ["Windows", "Darwin"])
    def test_some_systems_bring_them(self, system, say, on):
        on(system)
        finding = display.browser_font(say)
        assert finding.state == "ok"
        assert system in finding.found

    def test_a_japanese_edition_is_named_before_others(self, listed, say):
        listed("Noto Sans CJK HK,Noto Sans CJK HK Medium\nNoto Sans CJK JP\nNoto Sans CJK JP\n")
        finding = display.browser_font(say)
        assert finding.state == "ok"
        assert finding.found.startswith("Noto Sans CJK JP")
        assert "1" in finding.found

    def test_none_is_a_warning(self, listed, say):
        listed("\n")
        finding = display.browser_font(say)
        assert finding.state == "warning"
        assert "fonts-noto-cjk" in finding.cure

    def test_nothing_is_claimed_without_fc_list(self, say, on, monkeypatch):
        on("Linux")
        monkeypatch.setattr(shutil, "which", lambda name: None)
        finding = display.browser_font(say)
        assert finding.state == "ok"
        assert "fc-list" in finding.found

    @pytest.mark.parametrize(("complete", "state"), [(True, "ok"), (False, "fault")])
    def test_plots_have_the_kits_own(self, complete, state, say, told):
        finding = display.plot_font(say, told({"font": {"name": "IPAexGothic", "complete": complete}}))
        assert finding.state == state
        assert "IPAexGothic" in finding.found
        assert ("matplotlib-fontja" in finding.cure) == (state == "fault")


@pytest.fixture
def jupyter(tmp_path, monkeypatch):
    """Jupyter's two folders, the user's before the environment's, which holds all there should be."""
    user, ours = tmp_path / "user", tmp_path / "environment"
    extension(ours, "anywidget", {"version": VERSIONS["anywidget"]})
    extension(ours, "@jupyter-widgets/jupyterlab-manager", MANAGER)
    kernel(ours, "python")
    base = ours / "voila" / "templates" / "lab" / "index.html.j2"
    base.parent.mkdir(parents=True)
    base.touch()
    monkeypatch.setattr(display, "_data_folders", lambda: [user, ours])
    monkeypatch.setattr(display, "installed", lambda name: VERSIONS.get(name, ""))
    monkeypatch.setattr(display, "needs", lambda name: {"jupyterlab-widgets": "3.0.17"})
    return user, ours


def extension(folder, name, package):
    home = folder / "labextensions" / name
    (home / "static").mkdir(parents=True)
    (home / "static" / "entry.js").touch()
    package = package | {"jupyterlab": {"_build": {"load": "./static/entry.js"}}}
    (home / "package.json").write_text(json.dumps(package))
    return home


def kernel(folder, program):
    home = folder / "kernels" / "python3"
    home.mkdir(parents=True)
    (home / "kernel.json").write_text(json.dumps({"argv": [str(program), "-m", "ipykernel_launcher"]}))


class TestJupyterLab:
    def test_all_in_place(self, jupyter, say):
        finding = display.jupyterlab(say)
        assert (finding.state, finding.cure) == ("ok", "")
        assert all(VERSIONS[name] in finding.found for name in ("jupyterlab", "anywidget", "jupyterlab-widgets"))

    @pytest.mark.parametrize(("package", "name"), display.EXTENSIONS.items())
    @pytest.mark.parametrize("lost", ["package.json", "static/entry.js"])
    def test_one_that_is_not_whole_is_to_be_installed_again(self, package, name, lost, jupyter, say):
        (jupyter[1] / "labextensions" / name / lost).unlink()
        finding = display.jupyterlab(say)
        assert finding.state == "fault"
        assert package in finding.found
        assert f"--force-reinstall --no-deps {package}" in finding.cure

    def test_an_older_copy_of_the_users_is_to_be_removed(self, jupyter, say):
        home = extension(jupyter[0], "anywidget", {"version": "0.9.3"})
        finding = display.jupyterlab(say)
        assert finding.state == "fault"
        assert "0.9.3" in finding.found and "0.9.21" in finding.found
        assert str(home) in finding.cure

    def test_widgets_for_another_jupyterlab_are_to_be_removed(self, jupyter, say):
        old = {"version": "3.1.1", "dependencies": {"@jupyterlab/application": "^3.0.0"}}
        home = extension(jupyter[0], "@jupyter-widgets/jupyterlab-manager", old)
        finding = display.jupyterlab(say)
        assert finding.state == "fault"
        assert "^3.0.0" in finding.found and "4.6.6" in finding.found
        assert str(home) in finding.cure

    @pytest.mark.parametrize("widgets", ["3.0.9", ""])
    def test_widgets_too_old_for_ipywidgets_are_named(self, widgets, jupyter, say, monkeypatch):
        monkeypatch.setattr(display, "installed", lambda name: (VERSIONS | {"jupyterlab-widgets": widgets})[name])
        finding = display.jupyterlab(say)
        assert finding.state == "fault"
        assert '"jupyterlab-widgets>=3.0.17"' in finding.cure


class TestKernel:
    def test_a_plain_name_is_this_python(self, jupyter, say):
        assert display.kernel(say).state == "ok"

    def test_a_kernel_without_a_folder_is_ipykernels_own(self, say, jupyter, monkeypatch):
        monkeypatch.setattr(display, "_data_folders", lambda: [])
        assert display.kernel(say).state == "ok"

    def test_a_path_to_this_python_is_too(self, jupyter, say):
        kernel(jupyter[0], Path(sys.executable).with_name("python3"))
        assert display.kernel(say).state == "ok"

    def test_another_python_of_the_users_is_to_be_removed(self, jupyter, say):
        kernel(jupyter[0], "/usr/bin/elsewhere/python3")
        finding = display.kernel(say)
        assert finding.state == "fault"
        assert "/usr/bin/elsewhere/python3" in finding.found
        assert finding.cure.endswith("-m jupyter kernelspec remove python3")

    def test_it_needs_ipykernel(self, jupyter, say, monkeypatch):
        monkeypatch.setattr(display, "installed", lambda name: "")
        finding = display.kernel(say)
        assert finding.state == "fault"
        assert finding.cure.endswith("-m pip install ipykernel")


class TestVoila:
    def test_all_in_place(self, jupyter, say):
        finding = display.voila(say)
        assert (finding.state, finding.cure) == ("ok", "")
        assert "0.5.13" in finding.found

    def test_its_own_template_is_to_be_installed_again(self, jupyter, say):
        (jupyter[1] / "voila" / "templates" / "lab" / "index.html.j2").unlink()
        finding = display.voila(say)
        assert finding.state == "fault"
        assert "voila/templates/lab/index.html.j2" in finding.found
        assert "--no-deps voila" in finding.cure

    def test_the_kits_template_comes_back_with_the_kit(self, jupyter, say, monkeypatch, tmp_path):
        monkeypatch.setattr(display, "TEMPLATE", tmp_path / "templates")
        finding = display.voila(say)
        assert finding.state == "fault"
        assert "conf.json" in finding.found
        assert finding.cure == kit.cure_shipped(say)


def test_jupyter_says_where_it_looks():
    assert Path(sys.prefix, "share", "jupyter") in display._data_folders()


def test_a_jupyter_that_breaks_is_quoted(monkeypatch):
    broken = SimpleNamespace(returncode=1, stdout="", stderr="Traceback\nNo module named jupyter\n")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: broken)
    with pytest.raises(TrialError, match=r"^No module named jupyter$"):
        display._data_folders()
