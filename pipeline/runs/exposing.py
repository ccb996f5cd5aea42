"""--metrics_port: the figures of a launch, as the chief knows them, for Prometheus."""

import contextlib
import errno
import math
import statistics
import time
from collections.abc import Iterator, Sequence

import pipeline
from pipeline.config import Config
from pipeline.engine import devices
from pipeline.errors import UsageError
from pipeline.monitoring import exposition, metrics_server
from pipeline.monitoring.exposition import Metric
from pipeline.monitoring.history import Event
from pipeline.runs.run import Run
from pipeline.workers import ports
from pipeline.workers.job import Job

_SCORES = ("loss", "accuracy")  # of every split
_OF_TRAINING = ("learning_rate", "gradient_norm", "images_per_second")


class Exposing:
    """The figures of a launch: few before the run is open, all from then on."""

    def __init__(self, asked: Config, job: Job):
        self._asked, self._job, self._began = asked, job, time.time()
        self.run: Run | None = None  # once it is open
        self._phases: dict[str, float] = {}  # the seconds that were told of each

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """Serves the figures inside, if a port was asked for. Raises UsageError for one that cannot be had."""
        port, host = self._asked.metrics_port, self._asked.metrics_host
        if not port:
            yield
            return
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(metrics_server.serving(host, port, self.page))
            except OSError as error:
                raise _refused(host, port, error) from None
            yield

    def page(self) -> str:
        """What a scrape gets."""
        return exposition.text(self.metrics())

    def metrics(self) -> list[Metric]:
        """All figures of this moment."""
        phase = self._job.phases.current
        metrics = [
            _one("step", "The step that is under way, or was last.", phase.step),
            _each("phase", "1 for what the chief is doing.", {phase.name: 1}),
            _one("phase_age_seconds", "Seconds since the chief began to do that.", self._job.phases.seconds),
            _one("launch_seconds", "Seconds since this launch began.", time.time() - self._began),
            _each("worker_silence_seconds", "Seconds since a worker was last heard.", self._job.silent(), "worker"),
        ]
        return metrics + (self._of_run(self.run) if self.run else [])

    def _of_run(self, run: Run) -> list[Metric]:
        config, events = run.config, run.journal.history.events
        about = {"version": pipeline.__version__, "source": config.source, "model": config.model}
        memory = devices.memory_bytes(run.topology)
        return [
            _metric("run_info", "The run.", [({**about, "run_dir": config.run_dir}, 1)]),
            _one("steps", "The step at which the run is finished.", config.steps),
            *_of_splits(events),
            _one("images_total", "Images trained on in this launch, but for its first call.", run.clock.images),
            _each("phase_seconds_total", "Seconds of the phases that have ended.", self._seconds(run)),
            _one("restarts_total", "Launches of the run before this one.", run.restarts),
            _one("rollbacks_total", "Rollbacks of the run.", _count(events, "rollback")),
            _one("rechecks_total", "Rechecked steps of the run.", _count(events, "recheck")),
            _each("memory_bytes", "Memory that is held.", {d: b for d, (b, _) in memory.items()}, "device"),
            _each("memory_peak_bytes", "The most that was held.", {d: b for d, (_, b) in memory.items()}, "device"),
            *self._of_checkpoints(events),
            *_of_pace(_last(events, "pace")),
        ]

    def _seconds(self, run: Run) -> dict[str, float]:
        """Seconds by phase. They never fall: a part of a call's time is known to be a wait only after the call."""
        for phase, seconds in run.clock.split(of_ended=True).items():
            self._phases[phase] = max(seconds, self._phases.get(phase, 0.0))
        return dict(self._phases)

    def _of_checkpoints(self, events: Sequence[Event]) -> list[Metric]:
        last = _last(events, "checkpoint")
        saved = last["time"] if last else self._began
        age = "Seconds since the newest checkpoint was whole, or since the launch began where there is none."
        metrics = [_one("checkpoint_age_seconds", age, max(0.0, time.time() - saved))]
        if last:
            metrics.append(_one("checkpoint_step", "The step of the newest checkpoint.", last["step"]))
            metrics.append(_one("checkpoint_bytes", "Its size.", last.get("bytes", 0)))
        return metrics


def _of_splits(events: Sequence[Event]) -> list[Metric]:
    """The last figures of each split."""
    last = {split: found for split in ("train", "validation", "test") if (found := _last(events, split))}
    scores = [
        _each(name, f"The last {name} reported, by split.", {s: e[name] for s, e in last.items() if name in e}, "split")
        for name in _SCORES
    ]
    train = last.get("train", {})
    steps = _each("reported_step", "The step of these.", {s: e["step"] for s, e in last.items()}, "split")
    said = {name: train[name] for name in _OF_TRAINING if name in train}
    return [*scores, steps, *(_one(name, f"The last {name} reported.", value) for name, value in said.items())]


def _of_pace(pace: Event | None) -> list[Metric]:
    """What each worker takes for a step, at the last log; nothing where there is one tower alone."""
    parts = ("compute", "input", "wait")
    if pace is None or not all(pace.get(part) for part in parts):
        return []
    of_parts = [
        ({"worker": str(worker), "part": part}, seconds) for part in parts for worker, seconds in enumerate(pace[part])
    ]
    own = [compute + waited for compute, waited in zip(pace["compute"], pace["input"], strict=True)]
    median = statistics.median_low(own)
    lag = "Seconds a step that a worker takes by itself more than the median one."
    return [
        _metric("worker_step_seconds", "Seconds a step of a worker, by part.", of_parts),
        _each("worker_lag_seconds", lag, {str(worker): s - median for worker, s in enumerate(own)}, "worker"),
    ]


def _one(name: str, text: str, value: float | None) -> Metric:
    return _metric(name, text, [({}, value)])


def _each(name: str, text: str, values: dict, label: str = "phase") -> Metric:
    return _metric(name, text, [({label: str(key)}, value) for key, value in values.items()])


def _metric(name: str, text: str, samples: list) -> Metric:
    """A metric of ours. null in a line of metrics.jsonl stands for a number that is not finite."""
    return Metric(f"pipeline_{name}", text, [(labels, math.nan if v is None else v) for labels, v in samples])


def _last(events: Sequence[Event], name: str) -> Event | None:
    return next((event for event in reversed(events) if event["event"] == name), None)


def _count(events: Sequence[Event], name: str) -> int:
    return sum(event["event"] == name for event in events)


def _refused(host: str, port: int, error: OSError) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(f"metrics_port={port} is taken (by {ports.holder(port, 'TCP')}); give another --metrics_port")
    if error.errno == errno.EACCES:
        return UsageError(f"metrics_port={port} is not allowed ({error.strerror}); give one of 1024 or more")
    why = error.strerror or error
    return UsageError(f"metrics_host={host} is no address of this machine ({why}); give one, as 127.0.0.1")
