"""Completion as a user meets it: real shells on a terminal, and a TAB."""

import configparser
import shutil
from pathlib import Path

import commands
import pexpect
import pytest

from pipeline import completion
from pipeline.config import Config
from pipeline.errors import ExitCode

PROMPT = "<ready>"
ALL_OF_THE_LINE = "\x01echo '<\x05>'\r"  # to its start, to its end, return: prints it as it stands
SHELLS = {
    "bash": (["--norc", "--noprofile", "-i"], "bind 'set enable-bracketed-paste off'"),
    "zsh": (
        ["-f", "-i"],
        "bindkey -e; unset zle_bracketed_paste; unsetopt prompt_sp prompt_cr auto_remove_slash; "
        "autoload -Uz compinit; compinit -u -D",
    ),
}

# What is typed before the TAB, and what stands there after it.
COMPLETED = [
    ("pipeline-train --see", "pipeline-train --seed="),
    ("pipeline-train --steps_p", "pipeline-train --steps_per_loop="),
    ("pipeline-train --dry", "pipeline-train --dry_run "),
    ("pipeline-train --dry_run=t", "pipeline-train --dry_run=true "),
    ("pipeline-train --seed=1 --model=den", "pipeline-train --seed=1 --model=dense "),
    ("pipeline-train --model den", "pipeline-train --model dense "),
    ("pipeline-train --source=fold", "pipeline-train --source=folder:"),
    ("pipeline-train --source=folder:im", "pipeline-train --source=folder:images/"),
    ("pipeline-train --flagfile=so", "pipeline-train --flagfile=some.flags "),
    ("pipeline-train --run_dir=so", "pipeline-train --run_dir=so"),
    ("./launch/train.sh --opti", "./launch/train.sh --optimizer="),
    ("python -m pipeline.pred", "python -m pipeline.predict "),
    ("python -m pipeline.evaluate --split=v", "python -m pipeline.evaluate --split=validation "),
    ("python3 -m pipeline.predict --run_dir=im", "python3 -m pipeline.predict --run_dir=images/"),
    ("pipeline-predict --format=json so", "pipeline-predict --format=json some.flags "),
    ("pipeline-sweep --vary=opti", "pipeline-sweep --vary=optimizer="),
    ("pipeline-sweep --vary learning", "pipeline-sweep --vary learning_rate="),
    ("pipeline-report --checkpoint=b", "pipeline-report --checkpoint=best "),
    ("pipeline-completion z", "pipeline-completion zsh "),
    ("python so", "python some.flags "),
]


@pytest.fixture(scope="module", params=SHELLS)
def shell(request, tmp_path_factory):
    """A shell on a terminal, in a directory with `images` and `some.flags`, that has read the script."""
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    directory = tmp_path_factory.mktemp(request.param)
    (directory / "images").mkdir()
    (directory / "some.flags").touch()
    script = directory / ".script"
    script.write_text(commands.succeed("completion", request.param))
    arguments, setup = SHELLS[request.param]
    env = {"PATH": "/usr/bin:/bin", "TERM": "dumb", "HOME": str(directory)}
    terminal = pexpect.spawn(
        request.param, arguments, encoding="utf-8", env=env, dimensions=(50, 300), cwd=str(directory)
    )
    terminal.sendline(f"{setup}; source {script}; PS1='<''ready>'")
    terminal.expect_exact(PROMPT)
    yield terminal
    terminal.close(force=True)


@pytest.mark.parametrize(("typed", "line"), COMPLETED)
def test_a_tab_completes(typed, line, shell):
    shell.send(f"{typed}\t{ALL_OF_THE_LINE}")
    shell.expect_exact(f"\n{PROMPT}", timeout=10)
    told = shell.before.replace("\r", "").split("\n")[-1]
    assert told == f"<{line}>" or (shell.command.endswith("zsh") and told == f"<{line.rstrip()}>")  # zsh takes it back


def test_the_script_knows_every_flag_and_every_command():
    known = completion.flags_of("train")
    assert set(known) == set(Config.__dataclass_fields__)
    setup = configparser.ConfigParser()
    setup.read(Path(commands.TESTS).parent / "setup.cfg")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    assert {line.split(" = ")[0].removeprefix("pipeline-") for line in scripts if line} == set(completion.ENTRY_POINTS)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "usage: 0 shells were named; name one of: bash, zsh"),
        (["bash", "zsh"], "usage: 2 shells were named; name one of: bash, zsh"),
        (["bosh"], "usage: shell=bosh is unknown; did you mean bash? known: bash, zsh"),
    ],
)
def test_a_wrong_shell_is_refused(words, line):
    assert commands.refuse(ExitCode.USAGE, "completion", *words) == line
