"""The report on real runs: finished, stopped, without their examples, and several together."""

import json
import re

import commands
import pytest

from pipeline.errors import ExitCode


def text_of(path) -> str:
    return re.sub(r"\s+", " ", path.read_text())


def test_a_finished_run(run_copy, tmp_path):
    told = commands.succeed("report", f"--run_dir={run_copy}")
    assert told.startswith(f"{run_copy}/report.html: 0.1 MB; open it in a browser, or mail it")
    text = text_of(run_copy / "report.html")
    result = json.loads((run_copy / "metrics.jsonl").read_text().splitlines()[-1])
    assert f"{result['test_accuracy']:.2%} of 100 examples right" in text
    cells = [(int(n), true == said) for n, true, said in re.findall(r"(\d+) of class (\d) were taken for (\d)", text)]
    assert sum(n for n, _ in cells) == 100
    assert sum(n for n, right in cells if right) == round(100 * result["test_accuracy"])
    assert text.count("data:image/png;base64,") == min(24, 100 - round(100 * result["test_accuracy"]))
    assert result["parameters_sha256"] in text and "left out" not in text


def test_what_the_page_scores_can_be_chosen_or_left_out(run_copy):
    commands.succeed("report", f"--run_dir={run_copy}", "--checkpoint=10", "--split=validation", "--towers=2")
    assert "Checkpoint of step 10 on the validation split" in text_of(run_copy / "report.html")
    commands.succeed("report", f"--run_dir={run_copy}", "--noscore")
    text = text_of(run_copy / "report.html")
    assert "Confusion matrix" not in text and "Curves" in text


def test_a_run_whose_examples_and_checkpoints_are_gone(run_copy):
    flags = (run_copy / "config.flags").read_text()
    (run_copy / "config.flags").write_text(re.sub("--source=.*", "--source=folder:/nowhere", flags))
    told = commands.succeed("report", f"--run_dir={run_copy}", "--output=page.html", cwd=run_copy)
    line = "left out: confusion matrix and wrong examples: /nowhere is not a directory"
    assert f"run: {line}" in told and line.capitalize()[:20] in text_of(run_copy / "page.html")
    assert (
        json.loads((run_copy / "metrics.jsonl").read_text().splitlines()[-1])["parameters_sha256"]
        in (run_copy / "page.html").read_text()
    )


def test_a_run_that_has_told_nothing_yet(run_copy):
    (run_copy / "metrics.jsonl").unlink()
    for path in (run_copy / "checkpoints").iterdir():
        path.unlink()
    told = commands.succeed("report", f"--run_dir={run_copy}")
    assert "holds no checkpoint yet; wait for its first" in told
    assert "Nothing has been told yet" in text_of(run_copy / "report.html")


def test_several_runs(run_copy, finished_run, tmp_path):
    arguments = ("report", f"--run_dir={run_copy}", str(finished_run), "--towers=1")
    commands.succeed(*arguments, cwd=tmp_path)
    text = text_of(tmp_path / "report.html")
    assert "2 runs compared, dense on fake:600" in text
    assert "All ended on the same parameters, to the bit." in text and text.count("Confusion matrix") == 2
    assert [path.name for path in tmp_path.iterdir()].count("report.html") == 1


def test_a_report_does_not_touch_the_run(run_copy, tmp_path):
    before = commands.contents(run_copy)
    commands.succeed("report", f"--run_dir={run_copy}", f"--output={tmp_path}/page.html")
    assert commands.contents(run_copy) == before


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--run_dir=nowhere", "run_dir=nowhere holds no run (no config.flags); give the --run_dir that a training"),
        ("--run_dir={run} nowhere", "run_dir=nowhere holds no run (no config.flags); give the --run_dir that a"),
        ("--run_dir={run} --output={run}", "is a directory; name a file in it, as --output={run}/report.html"),
        ("--run_dir={run} --output=no/page.html", "output=no/page.html lies in no, which is no directory; make it"),
        ("--run_dir={run} --split=tests", "split=tests is unknown; did you mean test? known: test, validation, train"),
    ],
)
def test_a_wrong_report_is_refused(arguments, line, finished_run, tmp_path):
    words = arguments.format(run=finished_run).split()
    told = commands.refuse(ExitCode.USAGE, "report", *words, cwd=tmp_path)
    assert line.format(run=finished_run) in told
    assert commands.contents(tmp_path) == {}
