"""The kit's own files, whole and damaged, and its language."""

import json
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

import lowrank_kit
from lowrank_kit.checks import InputError
from lowrank_kit.doctor import kit

PROJECT = Path(lowrank_kit.__file__).parent.parent
checksums = runpy.run_path(str(PROJECT / "data" / "checksums.py"))


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A folder in the place of the kit's own, with two files of data and one notebook."""
    for path, text in {"data/digits.npz": "images", "data/digits-mlp/card.json": "{}"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "data" / kit.MANIFEST).write_text(checksums["manifest"](tmp_path / "data"))
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "00.ipynb").write_text(json.dumps({"nbformat": 4, "cells": []}))
    monkeypatch.setattr(kit, "shipped", tmp_path.joinpath)
    return tmp_path


class TestManifest:
    def test_it_is_current(self):
        stored = (PROJECT / "data" / kit.MANIFEST).read_bytes().decode()
        assert stored == checksums["manifest"](PROJECT / "data"), "run `python data/checksums.py`"

    def test_it_lists_what_the_kit_ships_and_nothing_else(self, copy):
        for name in ("tables.py", "README.md", ".digits.npz.1.part", ".ipynb_checkpoints/card.json"):
            (copy / "data" / name).parent.mkdir(exist_ok=True)
            (copy / "data" / name).write_text("none of it")
        assert [p.as_posix() for p in checksums["belong"](copy / "data")] == ["digits-mlp/card.json", "digits.npz"]

    @pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs sha256sum")
    def test_sha256sum_reads_it(self, copy):
        command = ["sha256sum", "--check", "--strict", kit.MANIFEST]
        answer = subprocess.run(command, cwd=copy / "data", capture_output=True, text=True, timeout=60)
        assert (answer.returncode, answer.stdout.count(": OK")) == (0, 2)


class TestData:
    def test_whole(self, copy, say):
        finding = kit.data(say)
        assert (finding.state, finding.cure) == ("ok", "")
        assert "2" in finding.found

    def test_the_shipped_ones_can_be_told(self, say):
        assert kit.data(say).name == "data"

    def test_one_that_changed_is_named(self, copy, say):
        (copy / "data" / "digits.npz").write_text("imagez")
        finding = kit.data(say)
        assert (finding.state, bool(finding.cure)) == ("fault", True)
        assert "digits.npz" in finding.found and "card.json" not in finding.found

    def test_one_that_is_missing_is_named(self, copy, say):
        (copy / "data" / "digits-mlp" / "card.json").unlink()
        finding = kit.data(say)
        assert finding.state == "fault"
        assert "digits-mlp/card.json" in finding.found

    def test_a_checkout_is_cured_by_git_an_installed_kit_by_installing(self, copy, say, monkeypatch):
        assert "git checkout" in kit.cure_shipped(say)
        monkeypatch.setattr(kit, "PACKAGE", copy)
        assert "git" not in kit.cure_shipped(say)


class TestNotebooks:
    def test_readable(self, copy, say):
        finding = kit.notebooks(say)
        assert (finding.state, finding.cure) == ("ok", "")
        assert "1" in finding.found

    def test_the_shipped_ones_are(self, say):
        assert kit.notebooks(say).state == "ok"

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"nbformat": 3, "cells": []}', '{"nbformat": 4}', "\udcff"])
    def test_one_that_is_not_is_named(self, text, copy, say):
        (copy / "notebooks" / "ja").mkdir()
        (copy / "notebooks" / "ja" / "01.ipynb").write_bytes(text.encode(errors="surrogateescape"))
        finding = kit.notebooks(say)
        assert (finding.state, bool(finding.cure)) == ("fault", True)
        assert "ja/01.ipynb" in finding.found and "00.ipynb" not in finding.found

    def test_what_jupyter_keeps_for_itself_does_not_count(self, copy, say):
        (copy / "notebooks" / ".ipynb_checkpoints").mkdir()
        (copy / "notebooks" / ".ipynb_checkpoints" / "00-checkpoint.ipynb").write_text("half")
        assert kit.notebooks(say).state == "ok"

    def test_none_at_all_is_a_fault(self, copy, say):
        (copy / "notebooks" / "00.ipynb").unlink()
        assert kit.notebooks(say).state == "fault"


class TestLanguage:
    @pytest.mark.parametrize(("value", "spoken"), [(None, "en"), ("", "en"), ("en", "en"), ("ja", "ja")])
    def test_one_the_kit_speaks(self, value, spoken, say, monkeypatch):
        monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
        monkeypatch.delenv("LOWRANK_KIT_LANG", raising=False)
        if value is not None:
            monkeypatch.setenv("LOWRANK_KIT_LANG", value)
        finding = kit.language(say)
        assert finding.state == "ok"
        assert finding.found.startswith(spoken)

    def test_another_is_a_fault_as_it_stops_every_board(self, say, monkeypatch):
        monkeypatch.setenv("LOWRANK_KIT_LANG", "fr")
        with pytest.raises(InputError):
            kit.default_language()
        finding = kit.language(say)
        assert finding.state == "fault"
        assert "LOWRANK_KIT_LANG=fr" in finding.found
        assert "en" in finding.cure and "ja" in finding.cure
