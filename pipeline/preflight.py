"""Entry point: python -m pipeline.preflight [flags of pipeline.train]. Finds the problems of a training before it.

It runs as the trainer does, a process a worker, on the workers' own addresses; the chief prints one table.
"""

import contextlib
import dataclasses
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.cli import command, flags
from pipeline.config import OF_ONE_START, Config
from pipeline.engine.topology import Workers
from pipeline.errors import ExitCode, UsageError, error_line, most_telling
from pipeline.process.environment import job_secret, visible_gpus
from pipeline.process.exits import pass_on
from pipeline.process.startup import allow_open_files
from pipeline.text.addresses import host_and_port
from pipeline.workers import discovery, ports
from pipeline.workers.connectivity import RollCall
from pipeline.workers.readiness import Facts, Problem, Report, listed, problems, read, remarks, table, unreached
from pipeline.workers.versions import versions

LONGEST_WAIT_S = 30  # for workers that are not there yet, where --start_timeout is longer
OPEN_FILES = 256  # besides a connection from every worker, which waits for the chief's verdict
SHARED_FILES_S = 3.0  # until a file that one host made is seen by another


def main() -> None:
    """Checks the surroundings of all workers; ends with 0, or the most telling code of the problems."""
    config = flags.configuration()
    workers = discovery.workers(config)
    if workers.learned:
        raise UsageError(
            "--preflight asks all workers at once, and those of an array may not all be there; submit it without "
            "--array, with --nodes=N"
        )
    with _mark(config, workers) as (mark, unwritable):
        facts = _facts(config, workers, unwritable + _taken(workers))
        code = _verdict(workers, {0: Report(facts, {}, {}, True)}) if workers.count == 1 else 0
        if workers.count > 1:
            code = _together(config, workers, facts, mark)
    pass_on(code)


def _together(config: Config, workers: Workers, facts: Facts, mark: str) -> int:
    """Meets the other workers; returns the chief's verdict, which the chief prints with its reasons."""
    allow_open_files(OPEN_FILES + workers.count if workers.is_chief else 0)
    call = RollCall(workers, {"mark": mark}, min(config.start_timeout, LONGEST_WAIT_S))
    with contextlib.nullcontext() if _taken(workers) else call.listening():
        answers = call.ask()
        ways = {k: way for k, (way, _) in answers.items()}
        clocks = {k: answer["ahead"] for k, (_, answer) in answers.items() if answer}
        sees = workers.is_chief or _sees(config, answers[0][1].get("mark", ""))
        report = Report(facts, ways, clocks, sees)
        if not workers.is_chief:
            verdict = call.verdict_on(dataclasses.asdict(report))
            return verdict if verdict is not None else _without_the_chief(workers, report)
        others = {k: told for k, sent in call.reports().items() if (told := read(sent))}
        code = _verdict(workers, {0: report, **others})
        call.conclude(code)
        return code


def _verdict(workers: Workers, reports: dict[int, Report]) -> int:
    """Prints the table, the problems and the remarks; returns the code."""
    print("\n".join(table(workers.addresses, reports)), flush=True)
    for remark in remarks(reports):
        print(remark)
    found = problems(workers.addresses, reports)
    _print(found)
    print(f"preflight: {workers.count} worker(s), " + (f"{len(found)} problem(s)" if found else "ready to train"))
    return most_telling([code for code, _ in found] or [ExitCode.DONE])


def _without_the_chief(workers: Workers, report: Report) -> int:
    """Prints the problems that a worker sees whom the chief does not answer; returns the code."""
    found = [*report.facts.problems, *unreached(workers.addresses, {workers.index: report})]
    gone = f"the chief at {workers.addresses[0]} gives worker {workers.index} no verdict; see what it says itself"
    found = found or [(ExitCode.PEER_LOST, gone)]
    _print(found)
    return most_telling([code for code, _ in found])


def _print(found: Sequence[Problem]) -> None:
    for code, text in found:
        print(error_line(code, text), file=sys.stderr, flush=True)


def _facts(config: Config, workers: Workers, found: Sequence[Problem]) -> Facts:
    shared = {name: value for name, value in dataclasses.asdict(config).items() if name not in OF_ONE_START}
    exposed = ports.exposed(host_and_port(workers.addresses[workers.index])[1]) if workers.addresses else []
    return Facts(
        host=socket.gethostname(),
        addresses=listed(workers.addresses),
        versions=versions(),
        gpus=len(visible_gpus()),
        flags=shared,
        problems=found,
        exposed=exposed,
        keyed=bool(job_secret()),
    )


def _taken(workers: Workers) -> list[Problem]:
    """The problem of a port that is taken; none if this worker's is free."""
    if workers.count == 1:
        return []
    address = workers.addresses[workers.index]
    holder = ports.taken(host_and_port(address)[1])
    text = f"worker {workers.index}'s port, of {address}, is taken on {socket.gethostname()}: {holder}; "
    return [(ExitCode.USAGE, text + "end that, or give the workers another port")] if holder else []


@contextlib.contextmanager
def _mark(config: Config, workers: Workers) -> Iterator[tuple[str, list[Problem]]]:
    """The chief's mark by which others know its run directory, there inside; and the problems of the directory.

    mark: LEVELS/NAME, a file of that name so many levels above the run directory, which may not be there yet.
    """
    levels, directory = _existing(config)
    problem = f"run_dir={config.run_dir} cannot be written by {socket.gethostname()}: choose another, or allow it"
    if not workers.is_chief:
        yield "", [] if os.access(directory, os.W_OK) else [(ExitCode.STORAGE, problem)]
        return
    file = directory / f".preflight-{uuid.uuid4().hex}"
    try:
        file.touch()
    except OSError as error:
        yield "", [(ExitCode.STORAGE, f"{problem} ({error.strerror})")]
        return
    try:
        yield f"{levels}/{file.name}", []
    finally:
        file.unlink(missing_ok=True)


def _existing(config: Config) -> tuple[int, Path]:
    """The run directory, or the nearest one above it that exists, and how many levels above."""
    path = Path(config.run_dir).absolute()
    return next((levels, above) for levels, above in enumerate([path, *path.parents]) if above.is_dir())


def _sees(config: Config, mark: str) -> bool:
    """Whether the chief's mark lies at the same place from here; file systems that are shared may take a moment.

    True also where the chief could make none, which is its problem.
    """
    levels, _, name = mark.partition("/")
    path = Path(config.run_dir).absolute()
    give_up = time.monotonic() + SHARED_FILES_S
    while name:
        directory = [path, *path.parents][int(levels)]
        if directory.is_dir() and name in os.listdir(directory):
            return True
        if time.monotonic() > give_up:
            return False
        time.sleep(0.1)
    return True


def run() -> None:
    """The console command."""
    command.run(main, flags.define, usage="python -m pipeline.preflight [flags of pipeline.train]")


if __name__ == "__main__":
    run()
