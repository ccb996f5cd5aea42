"""Entry point: python -m pipeline.supervise [flags of pipeline.train]. Keeps the workers of this host at work."""

import dataclasses
import functools
import os
import secrets
import select
import shlex
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from absl.flags import DEFINE_bool, DEFINE_enum, DEFINE_float, DEFINE_integer, DEFINE_string

from pipeline import sources, tracking
from pipeline.cli import command, flags
from pipeline.config import Config
from pipeline.engine.topology import Workers
from pipeline.errors import UsageError
from pipeline.process import messages, private_network
from pipeline.process.environment import JOB_SECRET, for_child, job_secret, visible_gpus, wants_colour
from pipeline.process.exits import pass_on
from pipeline.process.preemption import Preemption
from pipeline.runs import manifests
from pipeline.workers import discovery, firewall, ports
from pipeline.workers.supervisor import Limits, Supervisor, Worker
from pipeline.workers.supervisor_log import SupervisorLog

STOP_GRACE_S = 15  # beyond --preemption_deadline, at which workers end themselves
COLOURS = (36, 33, 35, 32, 34, 31)  # of ECMA-48, for the workers in turn
LEAST = {"workers": 0, "max_restarts": 0, "pulse_timeout": 1, "first_pulse_timeout": 1}


def define_flags() -> None:
    """The trainer's flags, and the supervisor's own."""
    flags.define()
    DEFINE_integer("workers", 0, "Start so many workers, on free ports of this machine (0: those that are named).")
    DEFINE_string(
        "worker_indices",
        "",
        "Which workers to start here, as 0,1 (default: the one that flags, TF_CONFIG or Slurm name).",
    )
    DEFINE_enum(
        "private_network",
        "auto",
        ["auto", "never", "required"],
        "Whether the workers of --workers get a network of their own, which nobody else reaches and from which they "
        "reach nothing else. auto: where this machine allows it, and no other flag needs another host.",
    )
    DEFINE_integer("max_restarts", 3, "Restarts without a new checkpoint between them.")
    DEFINE_float("pulse_timeout", 30, "Seconds without a pulse after which a worker is killed.")
    DEFINE_float("first_pulse_timeout", 120, "The same, before its first pulse.")
    DEFINE_bool("end_with_stdin", False, "Stop, as on SIGTERM, when stdin ends.")
    DEFINE_bool("preflight", False, "Check hosts, ports, clocks, versions and the run directory, and train nothing.")


def main() -> None:
    """Checks the flags, then keeps the workers at work; ends with their most telling exit code."""
    with Preemption.listening() as preemption:
        for name, least in LEAST.items():
            if flags.value(name) < least:
                raise UsageError(f"{name}={flags.value(name)} is too small; the least is {least}")
        config = flags.configuration()
        _check_workers(config)
        log = SupervisorLog(Path(config.run_dir))
        if flags.value("workers") > 1 and not config.dry_run:
            _isolate(config, log.say)
        config = _with_addresses(config)
        local = _local(config)
        workers = [_worker(config, found, several=len(local) > 1) for found in local]
        if config.dry_run:
            for found, worker in zip(local, workers, strict=True):
                _show(found, worker)
            if not local[0].learned and any(not ports.is_local(address) for address in local[0].addresses):
                firewall.show(local[0].addresses)
            return
        checkpoints, stdin = Path(config.run_dir, "checkpoints"), _Stdin(flags.value("end_with_stdin"))
        supervisor = Supervisor(
            workers,
            _limits(config),
            newest_checkpoint=functools.partial(manifests.newest_step, checkpoints),
            stop_signal=lambda: signal.Signals[preemption.reason] if preemption.reason else stdin.ended(),
            say=log.say,
        )
        pass_on(supervisor.run())


def _check_workers(config: Config) -> None:
    """Raises UsageError for flags of workers that contradict each other, before anything is changed."""
    if flags.value("workers") and config.worker_addresses:
        raise UsageError(
            f"workers={flags.value('workers')} and --worker_addresses exclude each other; give one of the two"
        )


def _isolate(config: Config, say: Callable[[str], None]) -> None:
    """Moves this process, and so its workers, into a private network, as --private_network says. Raises UsageError."""
    wanted = flags.value("private_network")
    if wanted == "never":
        return
    why_not = _needs_network(config) if wanted == "auto" else ""
    why_not = why_not or private_network.enter()
    if wanted == "required" and why_not:
        raise UsageError(
            f"private_network=required, but this machine does not allow one ({why_not}); use auto or never"
        )
    if why_not:
        say(
            f"no private network ({why_not}): whoever reaches the workers' ports, on any address of this host, can do "
            "what this account can; close them by a firewall, or give --private_network=required or never"
        )
    else:
        say("the workers have a private network: no one else reaches their ports, and they reach no other host")


def _needs_network(config: Config) -> str:
    """Which part of a configuration may need the network; '' if none does."""
    if "://" in config.mirror:
        return f"mirror={config.mirror} is on another host"
    if config.notify.startswith(messages.WEB):
        return f"notify={messages.shown(config.notify)} is on another host"
    if "mlflow" in tracking.names(config.track):
        return "track=mlflow has a server, perhaps on another host"
    if config.metrics_port:
        return f"metrics_port={config.metrics_port} is read from outside"
    if config.source.partition(":")[0] in sources.DOWNLOADED:
        return f"source={config.source} may be downloaded"
    return f"model={config.model} is code of your own" if ":" in config.model else ""


def _with_addresses(config: Config) -> Config:
    """The configuration, with the addresses that --workers asks for. Raises UsageError."""
    count = flags.value("workers")
    if not count:
        return config
    return dataclasses.replace(config, worker_addresses=",".join(f"{ports.LOOPBACK}:{p}" for p in ports.free(count)))


def _local(config: Config) -> list[Workers]:
    """The workers to start here, each as it will see itself. Raises UsageError."""
    text = flags.value("worker_indices") or ",".join(map(str, range(flags.value("workers"))))
    indices = [item.strip() for item in text.split(",") if text]
    if not all(index.isdecimal() for index in indices) or len(set(indices)) != len(indices):
        raise UsageError(f"worker_indices={text} is not a list of different numbers; write it as 0,1")
    configs = [dataclasses.replace(config, worker_index=int(index)) for index in indices] or [config]
    return [discovery.workers(config) for config in configs]


def _worker(config: Config, found: Workers, several: bool) -> Worker:
    """How to start a worker: the trainer with the flags given, and its place and its GPUs by its environment."""
    given, changes = flags.given(), {}
    given.pop("dry_run", None)
    if found.count > 1:
        given["worker_index"] = f"--worker_index={found.index}"
    if config.worker_addresses:
        given["worker_addresses"] = f"--worker_addresses={config.worker_addresses}"
    if visible := visible_gpus():
        changes["CUDA_VISIBLE_DEVICES"] = ",".join(discovery.share_of_gpus(found, visible, config.logical_gpus > 0))
    if flags.value("workers") and not job_secret():
        changes[JOB_SECRET] = _new_secret()
    # Started again, a run goes on, also one that was to start from scratch.
    only_at_first = [given.pop("resume")] if config.resume == "never" else []
    module = "pipeline.preflight" if flags.value("preflight") else "pipeline.train"
    return Worker(
        found.index,
        [sys.executable, "-m", module, *given.values()],
        for_child(**changes),
        _prefixes(found.index, several),
        only_at_first,
    )


@functools.cache
def _new_secret() -> str:
    """A secret that the workers of this process share."""
    return secrets.token_hex(32)


def _prefixes(index: int, several: bool) -> tuple[str, str] | None:
    """The beginnings of a worker's lines on stdout and on stderr; None if it may write there itself.

    It may not where stdin is a connection that may break: a write to it would end the worker before it has saved.
    """
    if not several:
        return ("", "") if flags.value("end_with_stdin") else None
    plain, colour = f"worker {index} | ", COLOURS[index % len(COLOURS)]
    coloured = f"\033[{colour}mworker {index} |\033[0m "
    stdout, stderr = (coloured if wants_colour(s) else plain for s in (sys.stdout, sys.stderr))
    return stdout, stderr


def _limits(config: Config) -> Limits:
    return Limits(
        max_restarts=0 if flags.value("preflight") else flags.value("max_restarts"),
        pulse_s=flags.value("pulse_timeout"),
        first_pulse_s=flags.value("first_pulse_timeout"),
        stop_s=config.preemption_deadline + STOP_GRACE_S,
    )


def _show(found: Workers, worker: Worker) -> None:
    """Prints the workers that would run here, and their commands."""
    address = f" at {found.addresses[found.index]}" if found.addresses else ""
    gpus = worker.environment.get("CUDA_VISIBLE_DEVICES") or "none"
    print(f"worker {found.index} of {found.count}{address}, on {socket.gethostname()}, GPUs: {gpus}")
    print(f"    {shlex.join([*worker.command, *worker.only_at_first])}")


class _Stdin:
    """The end of stdin, for someone who asked to stop at it."""

    def __init__(self, asked: bool):
        self._may_come = asked
        self._signal: signal.Signals | None = None

    def ended(self) -> signal.Signals | None:
        """SIGTERM from the end on; everything before it is thrown away."""
        if self._may_come and select.select([0], [], [], 0)[0] and not os.read(0, 65536):
            self._may_come, self._signal = False, signal.SIGTERM
        return self._signal


def run() -> None:
    """The console command."""
    usage = "python -m pipeline.supervise [flags of pipeline.train]"
    command.run(main, define_flags, usage=usage, own_topic="supervisor")


if __name__ == "__main__":
    run()
