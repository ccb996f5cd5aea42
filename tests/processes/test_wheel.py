"""The package from its wheel, in an environment without the repository: commands and launchers."""

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import commands
import pytest
import shared

from pipeline import completion
from pipeline.runs.run_directory import RunDirectory

ROOT = Path(__file__).parents[2]
BUILT_FROM = ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE", "pipeline", "launch", "configs")
NOT_SHIPPED = {"launch/test.sh"}


def call(*words, **options) -> subprocess.CompletedProcess:
    """A command that was run to its end, without a way to the repository."""
    environment = {name: value for name, value in commands.environment().items() if name != "PYTHONPATH"}
    environment |= options.pop("env", {})
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=300, env=environment, **options
    )


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment with the wheel; its dependencies are those of this one."""
    pytest.importorskip("setuptools")  # TensorFlow brings it

    def make(directory: Path) -> None:
        source = directory / "source"
        source.mkdir()
        for name in BUILT_FROM:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, source / name)
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
        built = call(*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", directory, source)
        assert built.returncode == 0, built.stdout + built.stderr
        call(sys.executable, "-m", "venv", "--without-pip", directory / "env").check_returncode()
        python = directory / "env" / "bin" / "python"
        (wheel,) = directory.glob("*.whl")
        call(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel).check_returncode()
        packages = next(directory.glob("env/lib/python*/site-packages"))
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    return shared.directory(tmp_path_factory, "wheel", make) / "env"


def test_it_holds_every_file_that_is_used(environment):
    package = next(environment.glob("lib/python*/site-packages"))
    files = {path.relative_to(package) for path in (package / "pipeline").rglob("*.*")}
    there = {path.relative_to(ROOT) for path in (ROOT / "pipeline").rglob("*.*")}
    assert {f for f in files if f.suffix != ".pyc"} == {f for f in there if f.suffix != ".pyc"}
    share = environment / "share" / "tower-pipeline"
    files = {path.relative_to(share).as_posix() for path in share.rglob("*.*")}
    there = {path.relative_to(ROOT).as_posix() for name in ("launch", "configs") for path in (ROOT / name).iterdir()}
    assert files == there - NOT_SHIPPED
    scripts = {path.name.removeprefix("pipeline-") for path in (environment / "bin").glob("pipeline-*")}
    assert scripts == set(completion.ENTRY_POINTS)


def test_every_command_starts_anywhere(environment, tmp_path):
    told = call(environment / "bin" / "pipeline-completion", "bash", cwd=tmp_path)  # it imports all of them
    assert (told.returncode, told.stdout) == (0, completion.script("bash"))
    told = call(environment / "bin" / "pipeline-preflight", "--source=fake", cwd=tmp_path)
    assert told.returncode == 0 and told.stdout.endswith("ready to train\n"), told.stderr


def test_its_launchers_train_on_the_bits_of_the_checkout(environment, finished_run, tmp_path):
    launch = environment / "share" / "tower-pipeline" / "launch"
    trained = call(launch / "train.sh", *commands.SMALL, "--towers=2", cwd=tmp_path)
    assert (trained.returncode, trained.stderr) == (0, "")
    expected = RunDirectory(finished_run).history().result["parameters_sha256"]
    assert json.loads(trained.stdout.splitlines()[-1])["parameters_sha256"] == expected


def test_its_launchers_start_its_own_python(environment, tmp_path):
    launch = environment / "share" / "tower-pipeline" / "launch"
    local = call(launch / "local.sh", "--dry_run", cwd=tmp_path)
    assert local.returncode == 0, local.stderr
    assert local.stdout.count(f"    {environment}/bin/python -m pipeline.train ") == 2
    ssh = call(launch / "ssh.sh", "--hosts=h1,h2", "--dry_run", cwd=tmp_path)
    assert ssh.returncode == 0, ssh.stderr
    assert ssh.stdout.count(f"cd '{environment}/share/tower-pipeline' && read -r PIPELINE_JOB_SECRET") == 2


def test_what_a_launcher_lacks_is_said(environment, tmp_path):
    share = shutil.copytree(environment / "share" / "tower-pipeline", tmp_path / "a" / "b")
    lost = call(share / "launch" / "train.sh", cwd=tmp_path)
    line = f"usage: {tmp_path}/bin/python has no package tower-pipeline; name the Python that it was installed for as "
    assert (lost.returncode, lost.stderr) == (64, f"{line}PIPELINE_PYTHON=/path/to/bin/python\n")
    told = {"PIPELINE_PYTHON": str(environment / "bin" / "python")}
    assert call(share / "launch" / "supervise.sh", "--version", cwd=tmp_path, env=told).stdout.startswith("pipeline ")
    batch = call("bash", share / "launch" / "slurm.sbatch", cwd=tmp_path)
    assert batch.returncode == 64 and "in share/tower-pipeline of its environment" in batch.stderr


def test_its_doctor_finds_what_is_wrong_and_names_nobody(environment, tmp_path):
    home = tmp_path / "jane-doe"
    home.mkdir()
    who = {"HOME": str(home), "LOGNAME": "jane-doe", "USER": "jane-doe", "SECRET_TOKEN": "s3cr3t"}
    told = call(environment / "bin" / "pipeline-doctor", "--run_dir=/proc/runs", cwd=tmp_path, env=who)
    assert (told.returncode, told.stderr) == (74, "")
    rows = {line.split("  ")[0]: line for line in told.stdout.splitlines()}
    assert rows["pipeline"].split(maxsplit=2)[2].startswith("installed from a wheel ")
    assert rows["TensorFlow"].endswith("ok") and ", computes" in rows["TensorFlow"]
    assert [name for name, row in rows.items() if row.endswith("  problem")] == ["run directory"]
    assert "\nstorage: run_dir=/proc/runs cannot be written (" in told.stdout
    assert told.stdout.endswith(" remark(s), 1 problem(s)\n")
    assert "jane" not in told.stdout and "s3cr3t" not in told.stdout
