"""Entry point: python -m pipeline.doctor. Tells what is there for a training, and the remedy for what is wrong.

Its text names no user, no host and no secret, and so can be pasted into a report.
"""

from pathlib import Path

from absl.flags import DEFINE_string

from pipeline.cli import command, flags
from pipeline.diagnosis import findings, machine, network, places, software
from pipeline.diagnosis.findings import Finding
from pipeline.errors import ExitCode, most_telling
from pipeline.process.exits import pass_on
from pipeline.storage.files import expand


def define_flags() -> None:
    """Defines the flag of this command."""
    DEFINE_string("run_dir", "runs", "The directory that runs are to lie in: its disk is looked at.")


def main() -> None:
    """Prints a table of all findings, then remarks and problems; ends with 0, or the most telling code of the problems.

    A remark is about what only some trainings need.
    """
    found = _findings(Path(expand(flags.value("run_dir"), "run_dir")))
    print("\n".join(findings.lines(found)))
    count = {verdict: sum(one.verdict == verdict for one in found) for verdict in ("problem", "remark")}
    verdict = f"{count['problem']} problem(s)" if count["problem"] else "ready to train"
    print(f"doctor: {len(found)} things looked at, {count['remark']} remark(s), {verdict}")
    pass_on(most_telling([one.code for one in found if one.verdict == "problem"] or [ExitCode.DONE]))


def _findings(run_dir: Path) -> list[Finding]:
    """All that is looked at, in order."""
    tensorflow, gpus = software.tensorflow()
    found = [software.package(), software.system(), software.python(), *software.packages(), tensorflow]
    found += [machine.gpus(gpus), *machine.cores(), machine.memory(), machine.limits()]
    return [*found, *places.runs(run_dir), *places.others(), *network.findings()]


def run() -> None:
    """The console command."""
    command.run(main, define_flags, usage="python -m pipeline.doctor [--run_dir=R]", own_topic="doctor")


if __name__ == "__main__":
    run()
