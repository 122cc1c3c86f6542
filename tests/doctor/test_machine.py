"""Python, threads, memory, disk, GPU and the loopback address, in order and not."""

import errno
import socket
import tomllib
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

import lowrank_kit
from lowrank_kit.doctor import machine
from lowrank_kit.doctor.findings import TrialError

PROJECT = Path(lowrank_kit.__file__).parent.parent
Memory = namedtuple("Memory", "available total")
Usage = namedtuple("Usage", "total used free")
NO_GPU = {"cuda": "", "name": "", "fault": ""}
QUIET = {"import torch": "torch.py", "threads": {"torch": 1, "blas": 1}}


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    for name in (machine.OURS, *machine.THEIRS, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 4)


class TestPython:
    def test_the_oldest_is_the_one_pyproject_asks_for(self):
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert project["requires-python"] == f">={'.'.join(map(str, machine.OLDEST))}"

    @pytest.mark.parametrize(
        ("version", "state"), [((3, 10, 14), "fault"), ((3, 11, 0), "ok"), ((3, 14, 1), "ok"), ((4, 0, 0), "ok")]
    )
    def test_old_ones_are_told_from_new(self, version, state, say):
        finding = machine.python(say, version)
        assert finding.state == state
        assert ".".join(map(str, version)) in finding.found
        assert bool(finding.cure) == (state == "fault")


class TestThreads:
    def test_a_quiet_machine_is_in_order(self, say, told):
        finding = machine.threads(say, told(QUIET), 0.07)
        assert finding.state == "ok"
        assert "7%" in finding.found

    def test_a_busy_machine_is_a_warning(self, say, told):
        finding = machine.threads(say, told(QUIET), 0.6)
        assert (finding.state, bool(finding.cure)) == ("warning", True)

    @pytest.mark.parametrize("value", ["two", "0", "-1", "1.5", "", "1,2"])
    def test_the_kits_own_variable_must_be_a_count(self, value, say, told, monkeypatch):
        monkeypatch.setenv("LOWRANK_KIT_THREADS", value)
        finding = machine.threads(say, told(QUIET), 0.0)
        assert finding.state == "fault"
        assert f"LOWRANK_KIT_THREADS={value}" in finding.found
        assert "LOWRANK_KIT_THREADS" in finding.cure

    @pytest.mark.parametrize("name", machine.THEIRS)
    def test_a_variable_that_others_read_is_a_warning(self, name, say, told, monkeypatch):
        monkeypatch.setenv(name, "many")
        finding = machine.threads(say, told(QUIET), 0.0)
        assert (finding.state, name in finding.cure) == ("warning", True)

    @pytest.mark.parametrize(
        ("name", "value"), [("LOWRANK_KIT_THREADS", "4"), ("OMP_NUM_THREADS", "2"), ("OMP_NUM_THREADS", "4, 2")]
    )
    def test_counts_are_in_order(self, name, value, say, told, monkeypatch):
        monkeypatch.setenv(name, value)
        assert machine.threads(say, told(QUIET), 0.0).state == "ok"

    def test_more_threads_than_cores_is_a_warning(self, say, told, monkeypatch):
        monkeypatch.setenv("LOWRANK_KIT_THREADS", "5")
        finding = machine.threads(say, told(QUIET), 0.0)
        assert finding.state == "warning"
        assert "LOWRANK_KIT_THREADS=5" in finding.found

    def test_nothing_is_claimed_of_a_torch_that_does_not_load(self, english, told):
        finding = machine.threads(english, told({"import torch": TrialError("broken")}), None)
        assert (finding.state, finding.found) == ("ok", "4 cores, ? busy; torch uses ?, BLAS ?")

    def test_a_kit_that_does_not_load_is_not_passed_over(self, say, told):
        with pytest.raises(TrialError, match="no such layer"):
            machine.threads(say, told({"import torch": "torch.py", "threads": TrialError("no such layer")}), 0.0)

    def test_the_share_is_a_fraction(self, monkeypatch):
        monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 25.0)
        assert machine.busy_share() == 0.25

    def test_a_psutil_that_breaks_leaves_the_share_open(self, monkeypatch):
        def broken(interval):
            raise RuntimeError("no /proc here")

        monkeypatch.setattr(psutil, "cpu_percent", broken)
        assert machine.busy_share() is None


@pytest.mark.parametrize(("free", "state"), [(8e9, "ok"), (1.4e9, "warning"), (0.4e9, "fault")])
def test_occupied_memory_is_noticed(free, state, say, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(free, 16e9))
    finding = machine.memory(say)
    assert finding.state == state
    assert f"{free / 1e9:.1f}" in finding.found
    assert bool(finding.cure) == (state != "ok")


@pytest.mark.parametrize(("free", "state"), [(8e9, "ok"), (0.9e9, "warning"), (0.05e9, "fault")])
def test_a_full_disk_is_noticed(free, state, say, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: Usage(16e9, 16e9 - free, free))
    finding = machine.disk(say)
    assert finding.state == state
    assert str(tmp_path) in finding.found
    assert bool(finding.cure) == (state != "ok")


def test_a_folder_that_cannot_be_written_is_a_fault(say, monkeypatch):
    def locked(dir):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", locked)
    finding = machine.disk(say)
    assert (finding.state, bool(finding.cure)) == ("fault", True)
    assert "Permission denied" in finding.found


def test_a_folder_that_is_gone_is_a_fault(say, monkeypatch):
    def gone():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(machine.Path, "cwd", gone)
    finding = machine.disk(say)
    assert (finding.state, "(cd)" in finding.cure) == ("fault", True)


class TestGpu:
    def test_none_is_in_order(self, say, told):
        finding = machine.gpu(say, told({"gpu": NO_GPU}))
        assert (finding.state, finding.cure) == ("ok", "")
        assert "CPU" in finding.found

    @pytest.mark.parametrize(("name", "cuda"), [("NVIDIA H100", "13.0"), ("Apple (MPS)", "")])
    def test_one_that_works_is_named(self, name, cuda, say, told):
        finding = machine.gpu(say, told({"gpu": NO_GPU | {"name": name, "cuda": cuda}}))
        assert finding.state == "ok"
        assert name in finding.found and cuda in finding.found

    def test_one_that_cannot_compute_is_a_warning(self, say, told):
        fault = "RuntimeError: no kernel image is available"
        finding = machine.gpu(say, told({"gpu": {"cuda": "13.0", "name": "GeForce GTX 960", "fault": fault}}))
        assert (finding.state, bool(finding.cure)) == ("warning", True)
        assert "GeForce GTX 960" in finding.found and fault in finding.found

    @pytest.mark.parametrize(
        ("system", "makers", "nvidia_smi", "state"),
        [
            ("Linux", ["0x8086"], None, "ok"),  # pip's ordinary torch on a laptop without such a GPU
            ("Linux", ["0x8086", "0x10de"], None, "warning"),
            ("Linux", ["0x8086"], "/usr/lib/wsl/lib/nvidia-smi", "warning"),
            ("Linux", [], None, "warning"),
            ("Windows", [], None, "warning"),
        ],
    )
    def test_a_cuda_build_without_a_driver(
        self, system, makers, nvidia_smi, state, say, told, on, monkeypatch, tmp_path
    ):
        on(system)
        for i, maker in enumerate(makers):
            (tmp_path / str(i)).mkdir()
            (tmp_path / str(i) / "vendor").write_text(f"{maker}\n")
        monkeypatch.setattr(machine, "PCI", tmp_path)
        monkeypatch.setattr(machine.shutil, "which", lambda name: nvidia_smi)
        finding = machine.gpu(say, told({"gpu": NO_GPU | {"cuda": "13.0"}}))
        assert finding.state == state
        assert bool(finding.cure) == (state == "warning")

    def test_a_gpu_that_was_hidden_on_purpose_is_not_missed(self, say, told, monkeypatch):
        monkeypatch.setattr(machine.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        assert machine.gpu(say, told({"gpu": NO_GPU | {"cuda": "13.0"}})).state == "ok"

    def test_nothing_is_claimed_while_torch_does_not_load(self, say, told):
        assert machine.gpu(say, told({})).state == "warning"


class TestPort:
    def test_this_machine_reaches_itself(self, say):
        assert machine.port(say).state == "ok"

    def test_a_closed_loopback_is_a_fault(self, say, monkeypatch):
        def closed(*arguments, **options):
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

        monkeypatch.setattr(socket, "create_server", closed)
        finding = machine.port(say)
        assert (finding.state, bool(finding.cure)) == ("fault", True)
        assert "127.0.0.1" in finding.found and "Cannot assign" in finding.found

    def test_a_firewall_that_swallows_is_a_fault(self, say, monkeypatch):
        def swallowed(*arguments, **options):
            raise TimeoutError("timed out")

        monkeypatch.setattr(socket, "create_connection", swallowed)
        assert machine.port(say).state == "fault"
