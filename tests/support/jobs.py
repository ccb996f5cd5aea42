"""Jobs of several workers, each a process of its own on a free port of this machine."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import commands
from trainings import FLAGS, Training

from pipeline.errors import ExitCode
from pipeline.runs.run_directory import RunDirectory
from pipeline.workers import ports


class Job:
    """Workers that run. They end with the `with` in which they were started, at the latest."""

    def __init__(self, workers: Mapping[int, Training], addresses: Sequence[str], run_dir: Path):
        self.workers, self.addresses, self._run = workers, addresses, RunDirectory(run_dir)

    def __getitem__(self, index: int) -> Training:
        return self.workers[index]

    def until_step(self, step: int) -> bool:
        """Waits for the chief to log a step; False if it ended before."""
        return self[0].until_step(step)

    def ends(self, *but: int) -> list[tuple[int, str, str]]:
        """Waits for the end of all but some: exit code, stdout, stderr of each."""
        return [worker.end() for index, worker in self.workers.items() if index not in but]

    def all_end_with(self, code: ExitCode, *but: int) -> list[str]:
        """Waits for the end of all but some, with this code each; the one line that each has on stderr."""
        ends = self.ends(*but)
        assert [end[0] for end in ends] == [code] * len(ends), ends
        lines = [err for _, _, err in ends]
        assert all(line.count("\n") == 1 and line.endswith("\n") for line in lines), lines
        return [line.strip() for line in lines]

    def all_lose(self, lost: int) -> list[str]:
        """The same, of all but a worker that is lost; all know who it was."""
        lines = self.all_end_with(ExitCode.PEER_LOST, lost)
        assert all(f"worker {lost}" in line for line in lines), lines
        return lines

    def log(self, index: int) -> str:
        """A worker's own log."""
        return (self._run.logs / f"worker-{index}.log").read_text()


def local_addresses(count: int, host: str = ports.LOOPBACK) -> list[str]:
    """Free ones of this machine."""
    return [f"{host}:{port}" for port in ports.free(count)]


@contextmanager
def job(
    run_dir: Path, *flags, workers: int = 2, absent: Sequence[int] = (), own=None, options=None, host=ports.LOOPBACK
) -> Iterator[Job]:
    """Starts the workers of a job with these flags after FLAGS.

    absent: those that do not come. own: further flags of some, and options: of subprocess.Popen for some, by index.
    """
    addresses = local_addresses(workers, host)
    place = [f"--run_dir={run_dir}", f"--worker_addresses={','.join(addresses)}"]
    started: dict[int, Training] = {}
    try:
        for index in sorted(set(range(workers)) - set(absent)):
            named = (*FLAGS, *place, f"--worker_index={index}", *flags, *(own or {}).get(index, ()))
            started[index] = Training(commands.start("train", *named, **(options or {}).get(index, {})), run_dir)
        yield Job(started, addresses, run_dir)
    finally:
        for worker in started.values():
            worker.kill()


def train(run_dir: Path, *flags, **options) -> dict:
    """Trains to the end, all without a word on stderr; the chief's result line."""
    with job(run_dir, *flags, **options) as live:
        ends = live.ends()
    assert [(code, err) for code, _, err in ends] == [(0, "")] * len(ends)
    assert [out for _, out, _ in ends[1:]] == [""] * (len(ends) - 1)
    return json.loads(ends[0][1].splitlines()[-1])
