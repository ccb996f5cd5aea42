"""Documents say what is so: commands, flags and links in them exist, and they stay short enough to be read."""

import re

import pytest

from pipeline import completion
from pipeline import config as configuration
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.runs import settings
from tests.docs import flags, pages

COMMANDS = list(pages.commands())
PAGES = [pages.name(page) for page in pages.pages()]
LONGEST = {"README.md": 150, "BUILD_NOTES.md": 200}
# Flags of other programs that the text speaks of.
FOREIGN_FLAGS = {
    *("logdir", "gpus-per-task", "gpu-bind", "signal", "requeue", "kill-on-bad-exit", "wait", "distribution", "help"),
    *("array", "nodes", "no-kill", "ntasks-per-node", "exclusive"),
    *("version", "flagfile", "name", "numprocesses"),
}


def check(command: pages.Command) -> None:
    """Raises LookupError for an unknown command or flag, and UsageError for a value that the command would refuse."""
    known = pages.flags_of(command.target)
    if known is None:
        return
    asked = pages.given(command.words)
    for name in asked:
        if name not in known and name.removeprefix("no") not in known and name not in ("flagfile", "help", "version"):
            raise LookupError(f"{command.target} has no flag --{name}")
    if any(word.startswith("-") and not word.startswith("--") and len(word) > 1 for word in command.words):
        raise LookupError(f"{command}: flags begin with two dashes")
    flagfile = asked.get("flagfile")
    from_file = pages.given((pages.ROOT / flagfile).read_text().splitlines()) if flagfile else {}
    told = {**from_file, **asked}
    fields = {name: told[name] for name in Config.__dataclass_fields__ if name in told}
    if "global_batch" in known:
        settings.check(Config(**{name: configuration.parse_value(name, value) for name, value in fields.items()}))
    for name, value in asked.items():
        flag = known.get(name)
        if flag is not None:
            flag.parser.parse(value)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_in_a_document_exists_and_takes_its_flags(command, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    check(command)


@pytest.mark.parametrize(
    ("block", "error"),
    [
        ("python -m pipeline.train --step=3", LookupError),
        ("python -m pipeline.evaluate --run_dir=R --steps=3", LookupError),
        ("python -m benchmarks.peers --round=3", LookupError),
        ("python -m benchmarks.no_such_thing", LookupError),
        ("./launch/no_such_thing.sh", LookupError),
        ("./launch/local.sh --hosts=h1", LookupError),
        ("./launch/train.sh --model=convolutionl", UsageError),
        ("./launch/train.sh --source=cifar10", UsageError),
        ("./launch/train.sh --optimizer=lio", UsageError),
        ("./launch/train.sh --augment=blur:2", UsageError),
        ("./launch/train.sh --steps=many", ValueError),
        ("./launch/train.sh --flagfile=configs/no_such_thing.flags", FileNotFoundError),
        ("./launch/train.sh --flagfile=configs/digits.flags --grad_shards=3", UsageError),
        ("python -m pipeline.export --run_dir=R --format=pickle", ValueError),
        ("trian --steps=3", ValueError),
    ],
)
def test_a_wrong_command_in_a_document_would_be_seen(block, error):
    with pytest.raises(error):
        for command in pages.commands_of("a page", block):
            check(command)


def test_the_commands_of_a_block_are_all_found():
    block = (
        "PIPELINE_EXTRAS=profile ./launch/train.sh --steps=3 \\\n  --seed=2 & sleep 3; kill -9 $!   # --no\n"
        "source <(.venv/bin/python -m pipeline.completion bash)\n"
        "pipeline-train --seed=3; $VIRTUAL_ENV/share/tower-pipeline/launch/ssh.sh --hosts=a,b\n"
        "sbatch --array=0-3 --wrap='exec python -m pipeline.sweep … --array'\n"
    )
    assert list(pages.commands_of("a page", block)) == [
        ("a page", "launch/train.sh", ("--steps=3", "--seed=2")),
        ("a page", "pipeline.completion", ("bash",)),
        ("a page", "pipeline.train", ("--seed=3",)),
        ("a page", "launch/ssh.sh", ("--hosts=a,b",)),
        ("a page", "pipeline.sweep", ("--array",)),
    ]


def test_every_command_and_configuration_has_its_place_in_a_document():
    targets = {command.target for command in COMMANDS}
    assert {f"pipeline.{entry_point}" for entry_point in completion.ENTRY_POINTS} <= targets
    assert {f"launch/{script}" for script in pages.LAUNCHERS} <= targets
    text = "".join(page.read_text() for page in pages.pages())
    assert [path.name for path in (pages.ROOT / "configs").glob("*.flags") if path.name not in text] == []


@pytest.mark.parametrize("page", PAGES)
def test_flags_in_the_text_of_a_document_exist(page):
    spans = re.findall(r"`([^`]+)`", pages.prose((pages.ROOT / page).read_text()))
    named = {flag for span in spans for flag in re.findall(r"(?:^|[\s(])--([\w-]+)", span)}
    known = pages.known_flags() | FOREIGN_FLAGS
    assert {flag for flag in named if flag not in known and flag.removeprefix("no") not in known} == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_in_a_document_lead_somewhere(page):
    path = pages.ROOT / page
    text = path.read_text()
    for target in pages.links(text):
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        assert not anchor or anchor in pages.anchors(there.read_text()), target
    named = re.findall(r"`((?:pipeline|tests|benchmarks|launch|configs|docs)/[\w./-]+)`", text)
    assert [name for name in named if not (pages.ROOT / name).exists()] == []


@pytest.mark.parametrize("page", LONGEST)
def test_a_document_is_short(page):
    lines = (pages.ROOT / page).read_text().splitlines()
    assert len(lines) <= LONGEST[page]
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []  # a row cannot be broken


def test_the_page_of_flags_is_current():
    page = (pages.ROOT / "docs" / "flags.md").read_text()
    assert page == flags.page(), "run python -m tests.docs.flags > docs/flags.md"
