"""The machine, as the files of Linux describe it: what is there, and the remedy for what is wrong."""

import os
from pathlib import Path

import pytest

from pipeline.diagnosis import machine
from pipeline.errors import ExitCode

MIB = 1 << 20


def write(root: Path, **files: str) -> Path:
    """A root of a file system with these files; in their names __ stands for / and ___ for a dot."""
    for name, text in files.items():
        path = root / name.replace("___", ".").replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_quota_of_a_container_is_told_with_the_threads_to_give(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    free, _ = machine.cores(write(tmp_path / "free", sys__fs__cgroup__cpu___max="max 100000\n"))
    assert (free.found, free.verdict) == ("8 of 16", "ok")
    bound, _ = machine.cores(write(tmp_path / "bound", sys__fs__cgroup__cpu___max="250000 100000\n"))
    assert (bound.found, bound.verdict) == ("8 of 16, of which 2.5 by a quota", "remark")
    assert bound.fault.endswith("start runs with --intra_op_threads=2")


def test_variables_that_change_bits_are_told(tmp_path, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert list(machine.cores(tmp_path))[1].verdict == "ok"
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    found = list(machine.cores(tmp_path))[1]
    assert found.verdict == "remark" and "XLA_FLAGS=--xla_cpu_enable_fast_math=true; unset" in found.fault


def test_memory_is_that_of_the_container(tmp_path):
    meminfo = "MemTotal:  16777216 kB\nMemFree: 1 kB\nMemAvailable:  8388608 kB\nHugePages_Total: 0\n"
    whole = machine.memory(write(tmp_path / "whole", proc__meminfo=meminfo, sys__fs__cgroup__memory___max="max\n"))
    assert (whole.found, whole.verdict) == ("8.0 GiB available of 16.0", "ok")
    files = {"sys__fs__cgroup__memory___max": f"{4096 * MIB}\n", "sys__fs__cgroup__memory___current": f"{3072 * MIB}\n"}
    part = machine.memory(write(tmp_path / "part", proc__meminfo=meminfo, **files))
    assert (part.found, part.verdict) == ("1.0 GiB available of 4.0", "remark")
    assert part.fault == "1.0 GiB of memory are available, and a small training takes 1 to 2; free some"


@pytest.fixture
def two_gpus(tmp_path):
    """A machine with two GPUs of NVIDIA and their driver; another device on its bus is none."""
    files = {f"sys__bus__pci__devices__0000:0{k}__{name}": text for k in (1, 2) for name, text in CARD.items()}
    other = {f"sys__bus__pci__devices__0000:03__{name}": text for name, text in {**CARD, "class": "0x040300\n"}.items()}
    return write(tmp_path, **files, **other, dev__nvidia0="", dev__nvidia1="", dev__nvidiactl="")


CARD = {"vendor": "0x10de\n", "class": "0x030200\n"}


def test_gpus_that_work_are_counted(two_gpus, tmp_path_factory, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = machine.gpus(2, two_gpus)
    assert found.found.startswith("2 of NVIDIA, ") and found.found.endswith("TensorFlow sees 2")
    assert found.verdict == "ok"
    assert machine.gpus(0, tmp_path_factory.mktemp("none")) == machine.Finding("GPUs", "none")


def test_gpus_that_tensorflow_does_not_see_are_a_problem(two_gpus, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = machine.gpus(0, two_gpus)
    assert found.code == ExitCode.USAGE and found.fault.startswith("TensorFlow sees 0 of 2 GPUs, ")
    assert "pip install 'tower-pipeline[gpu]'" in found.fault
    assert machine.gpus(-1, two_gpus).verdict == "ok"  # TensorFlow itself is the problem


def test_gpus_that_are_hidden_or_without_a_driver_are_told(two_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    hidden = machine.gpus(1, two_gpus)
    assert (hidden.verdict, hidden.fault) == ("remark", "CUDA_VISIBLE_DEVICES hides 1 of them; unset it for all")
    for node in (two_gpus / "dev").iterdir():
        node.unlink()
    bare = machine.gpus(0, two_gpus)
    assert bare.found == "2 of NVIDIA, no driver, TensorFlow sees 0" and bare.code == ExitCode.USAGE
    assert bare.fault.startswith("there is an NVIDIA GPU without a driver; install it")
