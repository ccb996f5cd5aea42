"""Software, places and network: each thing that is wrong is told with its remedy; nobody is named."""

import signal
import socket
import subprocess
import sys

import commands
import pytest

from pipeline.diagnosis import findings, network, places, software
from pipeline.diagnosis.findings import Finding
from pipeline.errors import ExitCode


def test_a_table_then_remarks_and_problems():
    found = [
        Finding("a", "1"),
        Finding("bcd", "", "it is not so; mend it"),
        Finding("e", "2", "no; go", ExitCode.STORAGE),
    ]
    assert findings.lines(found) == [
        "a    1     ok",
        "bcd  none  remark",
        "e    2     problem",
        "remark: it is not so; mend it",
        "storage: no; go",
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("in /home/jane/runs on node7.lab", "in ~/runs on HOST"),
        ("/home/janet/x by jane, node7", "/home/janet/x by USER, HOST"),
        ("run_dir=/home/jane; node77 janes", "run_dir=~; node77 janes"),
    ],
)
def test_who_and_where_are_left_out(line, told, monkeypatch):
    monkeypatch.setenv("HOME", "/home/jane")
    monkeypatch.setenv("LOGNAME", "jane")
    monkeypatch.setattr(socket, "gethostname", lambda: "node7.lab")
    assert findings.lines([Finding("x", line)]) == [f"x  {told}  ok"]


@pytest.mark.parametrize(
    ("version", "fits"), [((3, 9, 9), False), ((3, 10, 0), True), ((3, 13, 5), True), ((3, 14, 0), False)]
)
def test_the_pythons_that_fit(version, fits):
    found = software.python(version)
    assert (found.verdict, found.code) == (("ok", ExitCode.DONE) if fits else ("problem", ExitCode.USAGE))


def test_packages_are_compared_with_what_is_needed():
    needed, extras = software._requirements()
    assert {"tensorflow", "keras", "absl-py"} <= {name for name, _ in needed} and "onnx" in extras
    assert [software._fault(name, rule) for name, rule in needed] == [""] * len(needed)
    assert software._fault("keras", ">=99").endswith(" is not >=99")
    assert software._fault("no-such-package", "") == "no-such-package is missing"
    assert {one.name: one.verdict for one in software.packages()} == {"packages": "ok", "extras": "ok"}


def test_a_tensorflow_that_does_not_work_is_told_by_its_last_words(monkeypatch, tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho first >&2\necho "ImportError: it\'s broken" >&2\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    found, gpus = software.tensorflow()
    assert (found.code, gpus) == (ExitCode.USAGE, -1)
    assert found.fault.startswith("TensorFlow does not work here: ImportError: it's broken; mend what it says, or ")
    python.write_text("#!/bin/sh\nkill -ILL $$\n")
    assert "lacks instructions that it needs (AVX); use another machine" in software.tensorflow()[0].fault
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    assert "No such file or directory" in software.tensorflow()[0].fault


def test_a_python_without_any_package_is_told_what_it_lacks(tmp_path):
    command = [sys.executable, "-S", "-m", "pipeline.doctor"]
    told = subprocess.run(command, env=commands.environment(), cwd=tmp_path, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (64, "")
    lines = told.stdout.splitlines()
    missing = next(line for line in lines if line.startswith("usage: absl-py is missing, "))
    assert ", jinja2 is missing" in missing and " tqdm is missing" in missing
    assert missing.endswith(
        " is missing: pip install the wheel with what it needs, or in a checkout start ./launch/train.sh, which makes "
        ".venv"
    )
    assert "usage: TensorFlow does not work here: it is not installed; install the packages" in lines


@pytest.mark.parametrize(
    ("code", "stderr", "remedy"),
    [
        (-signal.SIGKILL, "", "it was killed, as for want of memory; give this machine, or its container, more memory"),
        (3, "", "exit code 3; mend what it says"),
    ],
)
def test_other_ends_of_tensorflow(code, stderr, remedy):
    assert "; ".join(software._reason(code, stderr)).startswith(remedy)


def test_places_that_cannot_be_written_are_told(monkeypatch, tmp_path):
    (good,) = places.runs(tmp_path / "runs" / "one")
    assert good.verdict == "ok" and good.found.endswith("GiB free, locks work") and list(tmp_path.iterdir()) == []
    (bad,) = places.runs(places.Path("/proc/runs"))
    assert bad.code == ExitCode.STORAGE and bad.fault.startswith("run_dir=/proc/runs cannot be written (")
    monkeypatch.setattr(places, "LEAST_SPACE", 1 << 62)
    (full,) = places.runs(tmp_path)
    assert full.code == ExitCode.STORAGE and full.fault.endswith("GiB free; free some space, or give another --run_dir")
    monkeypatch.setenv("HOME", "/proc")
    home = next(iter(places.others()))
    assert (
        home.verdict == "remark"
        and "~/.cache/pipeline cannot be written; allow it, or lead elsewhere by --data_dir" in home.fault
    )
    monkeypatch.setenv("HOME", str(tmp_path / "gone"))
    assert next(iter(places.others())).fault.startswith("the home directory is missing")


def test_what_launchers_need_is_looked_for(monkeypatch, tmp_path):
    (tmp_path / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    found = {one.name: one for one in network.findings()}
    assert found["ssh"].fault == "launch/ssh.sh needs ssh: install openssh-client"
    assert found["Slurm"].fault == "launch/slurm.sbatch needs scontrol, srun too; install Slurm's client"
    assert found["ports"].verdict == "ok"
    monkeypatch.setattr(network.ports, "free", lambda count: [])
    assert next(iter(network.findings())).code == ExitCode.USAGE


def test_a_task_of_slurm_with_garbled_variables_is_a_problem(monkeypatch):
    for name, value in {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_ID": "x"}.items():
        monkeypatch.setenv(name, value)
    found = {one.name: one for one in network.findings()}["Slurm"]
    assert found.code == ExitCode.USAGE and "inside of a job" in found.found
