"""What pip installed, in order, missing, old, broken, and hidden by a file of the reader's own."""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path

import pytest

import lowrank_kit
from lowrank_kit.doctor import libraries
from lowrank_kit.doctor.findings import TrialError, UntriedError

PROJECT = Path(lowrank_kit.__file__).parent.parent
WANTED = ["numpy>=2.1", "torch>=2.11", "voila>=0.5.6", 'pytest>=8; extra == "dev"']
HERE = {"lowrank-kit": "0.1.0", "numpy": "2.4.6", "torch": "2.13.0+cpu", "voila": "0.5.13"}
LOADING = {f"import {name}": f"/site-packages/{name}/__init__.py" for name in HERE}
RIGHT = {"version": "2.13.0+cpu", "error": 5e-7}


@pytest.fixture
def packages(monkeypatch, on):
    """A Python with these packages, on Linux: packages(torch="1.0", voila=None)."""

    def install(**changes):
        found = {name: version for name, version in (HERE | changes).items() if version}

        def known(name):
            if name not in found:
                raise PackageNotFoundError(name)
            return found[name]

        def requires(name):
            known(name)
            return WANTED

        monkeypatch.setattr(libraries, "requires", requires)
        monkeypatch.setattr(libraries, "version", known)

    on("Linux")
    return install


def examined(say, told, **answers):
    trial = told(LOADING | {f"import {name}": answer for name, answer in answers.items()})
    return libraries.libraries(say, dict.fromkeys(HERE, trial))


class TestLibraries:
    def test_all_in_order(self, packages, say, told):
        packages()
        finding = examined(say, told)
        assert (finding.state, finding.cure) == ("ok", "")
        assert "3" in finding.found

    def test_a_missing_one_is_named_with_the_command_that_brings_it(self, packages, say, told):
        packages(voila=None)
        finding = examined(say, told, voila=TrialError("ModuleNotFoundError: No module named 'voila'"))
        assert finding.state == "fault"
        assert "voila" in finding.found and "numpy" not in finding.found
        assert finding.cure.endswith('-m pip install "voila>=0.5.6"')

    def test_one_that_may_have_any_version_must_be_there(self, packages, say, told, monkeypatch):
        packages(voila=None)
        monkeypatch.setattr(libraries, "requires", lambda name: ["voila"])
        finding = examined(say, told)
        assert finding.state == "fault"
        assert finding.cure.endswith("-m pip install voila")

    def test_old_ones_are_named_with_what_is_needed(self, packages, say, told):
        packages(numpy="1.26.4", torch="2.9.1")
        finding = examined(say, told)
        assert finding.state == "fault"
        assert re.search(r"numpy 1\.26\.4.*2\.1.*torch 2\.9\.1.*2\.11", finding.found)
        assert '"numpy>=2.1" "torch>=2.11"' in finding.cure

    def test_who_lacks_torch_hears_of_the_small_build_on_linux(self, packages, english, told, on):
        packages(torch=None)
        assert "README" in examined(english, told).cure
        on("Windows")
        assert "README" not in examined(english, told).cure

    def test_a_command_too_long_for_a_screen_becomes_the_one_that_brings_all(self, packages, say, told, monkeypatch):
        packages(numpy=None, voila=None)
        monkeypatch.setattr(libraries, "LONGEST", 40)
        assert examined(say, told).cure.endswith("-m pip install lowrank-kit")

    def test_another_python_than_the_kits_is_told(self, packages, say, told):
        packages(**{"lowrank-kit": None})
        finding = examined(say, told)
        assert finding.state == "fault"
        assert "-m pip install -c constraints.txt ." in finding.cure

    def test_one_that_does_not_load_is_to_be_installed_again_alone(self, packages, say, told):
        packages()
        finding = examined(say, told, voila=TrialError("ImportError: a DLL is missing"))
        assert finding.state == "fault"
        assert "voila" in finding.found and "a DLL is missing" in finding.found
        assert finding.cure.endswith("-m pip install --force-reinstall --no-deps voila==0.5.13")

    def test_numpy_is_cured_first(self, packages, say, told):
        packages()
        broken = TrialError("ImportError: numpy")
        finding = examined(say, told, voila=broken, numpy=broken)
        assert "numpy==2.4.6" in finding.cure
        assert "1" in finding.found

    def test_one_that_was_not_reached_is_not_blamed(self, packages, say, told):
        packages()
        finding = examined(say, told, numpy=TrialError("crashed"), voila=UntriedError("not tried, because of numpy"))
        assert "numpy" in finding.found and "voila" not in finding.found and "1" not in finding.found
        assert examined(say, told, voila=UntriedError("not tried")).state == "ok"

    def test_torch_that_does_not_load_has_a_line_of_its_own(self, packages, say, told):
        packages()
        assert examined(say, told, torch=TrialError("OSError: c10.dll")).state == "ok"

    @pytest.mark.parametrize("file", ["torch.py", "torch/__init__.py"])
    def test_a_file_of_the_readers_own_in_front_of_a_library_is_named(
        self, file, packages, say, told, tmp_path, monkeypatch
    ):
        packages()
        monkeypatch.chdir(tmp_path)
        finding = examined(say, told, torch=str(tmp_path / file))
        assert finding.state == "fault"
        assert file.split("/")[0] in finding.found
        assert file.split("/")[0] in finding.cure

    def test_an_environment_in_the_working_folder_hides_nothing(self, packages, say, told, tmp_path, monkeypatch):
        packages()
        monkeypatch.chdir(tmp_path)
        own = tmp_path / ".venv" / "lib" / "site-packages" / "torch" / "__init__.py"
        assert examined(say, told, torch=str(own)).state == "ok"


class TestPyTorch:
    def test_what_computes_rightly_is_in_order(self, packages, say, told):
        finding = libraries.pytorch(say, told(LOADING | {"arithmetic": RIGHT}))
        assert finding.state == "ok"
        assert "2.13.0+cpu" in finding.found

    @pytest.mark.parametrize("error", [float("nan"), float("inf"), 0.3])
    def test_what_does_not_is_a_fault(self, error, packages, say, told):
        packages()
        finding = libraries.pytorch(say, told(LOADING | {"arithmetic": RIGHT | {"error": error}}))
        assert finding.state == "fault"
        assert "torch==2.13.0" in finding.cure

    def test_what_does_not_load_is_a_fault_with_the_systems_cure(self, packages, say, told, on):
        packages()
        for system, word in (("Linux", "README"), ("Windows", "Visual C++"), ("Darwin", "pip install")):
            on(system)
            finding = libraries.pytorch(say, told({"import torch": TrialError("OSError: c10.dll")}))
            assert finding.state == "fault"
            assert "c10.dll" in finding.found
            assert word in finding.cure

    def test_one_that_is_not_there_is_left_to_the_libraries(self, packages, say, told):
        packages(torch=None)
        with pytest.raises(TrialError):
            libraries.pytorch(say, told({}))

    def test_one_that_was_not_reached_is_left_to_the_libraries(self, packages, say, told):
        packages()
        with pytest.raises(UntriedError):
            libraries.pytorch(say, told({"import torch": UntriedError("not tried, because of numpy")}))

    def test_a_hidden_one_is_left_to_the_libraries(self, packages, say, told, tmp_path, monkeypatch):
        packages()
        monkeypatch.chdir(tmp_path)
        with pytest.raises(TrialError):
            libraries.pytorch(
                say, told({"import torch": str(tmp_path / "torch.py"), "arithmetic": TrialError("randn")})
            )


class TestVersions:
    def test_every_dependency_of_the_project_has_a_minimum_and_a_module(self, monkeypatch):
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        monkeypatch.setattr(libraries, "requires", lambda name: project["dependencies"])
        needs = libraries.needs("lowrank-kit")
        assert len(needs) == len(project["dependencies"])
        assert all(needs.values())
        assert [name for name in needs if not find_spec(libraries.module_of(name))] == []

    def test_requirements_are_read_as_packages_write_them(self, monkeypatch):
        lines = [
            "comm>=0.1.3",
            "jupyterlab_widgets~=3.0.17",
            "jupyter-server<3,>=1.18",
            "tornado",
            "black; extra == 'x'",
        ]
        monkeypatch.setattr(libraries, "requires", lambda name: lines)
        assert libraries.needs("any") == {
            "comm": "0.1.3",
            "jupyterlab-widgets": "3.0.17",
            "jupyter-server": "1.18",
            "tornado": "",
        }

    @pytest.mark.parametrize(
        ("older", "newer"),
        [("2.9.1", "2.11"), ("0.9.18", "0.9.19"), ("", "0.1"), ("2.13.0.dev1", "2.13.1"), ("8.1.0", "8.1.5")],
    )
    def test_versions_are_compared_as_numbers(self, older, newer):
        assert libraries.release(older) < libraries.release(newer)

    @pytest.mark.parametrize("same", ["2.13", "2.13.0", "2.13.0+cpu", "2.13.0rc1"])
    def test_what_follows_the_numbers_does_not_count(self, same):
        assert libraries.release(same) == libraries.release("2.13")

    def test_a_package_without_metadata_counts_as_missing(self, monkeypatch):
        monkeypatch.setattr(libraries, "version", lambda name: None)
        assert libraries.installed("numpy") == ""


class TestCommand:
    def test_the_plain_name_where_the_shell_finds_this_python_by_it(self, monkeypatch):
        monkeypatch.setattr(libraries.shutil, "which", lambda name: sys.executable if name == "python3" else None)
        assert libraries.pip_install("voila") == "python3 -m pip install voila"

    def test_the_path_where_the_shell_would_find_another(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(libraries.shutil, "which", lambda name: "/usr/bin/python")
        monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
        assert libraries.pip_install("voila") == f"{Path('.venv/bin/python')} -m pip install voila"
        monkeypatch.setattr(sys, "executable", "/opt/my python/bin/python")
        assert libraries.pip_install("voila>=1") == '"/opt/my python/bin/python" -m pip install "voila>=1"'
