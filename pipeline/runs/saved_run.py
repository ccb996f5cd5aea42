"""A run on disk, opened for reading: its checkpoints and their model."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.engine import devices, ema, state, topology
from pipeline.engine.assembly import Assembly
from pipeline.engine.tally import Tally
from pipeline.engine.towers import Towers, on_host
from pipeline.errors import BadDataError, UsageError
from pipeline.process import standard_error
from pipeline.runs import resume
from pipeline.runs.checkpoints import Checkpoints, Restored
from pipeline.runs.run_directory import RunDirectory
from pipeline.sources import evaluated
from pipeline.sources.base import ExampleSpec, Source


class SavedRun:
    """The configuration and checkpoints of a run."""

    def __init__(self, directory: RunDirectory, parameters: str | None = None):
        """directory: holds a run. Raises StorageError if it cannot be read.

        parameters: "ema", the moving averages in their place, or "raw"; None: "ema" where the run has them.
        Raises UsageError for "ema" of a run without them.
        """
        self.directory, self._parameters = directory, parameters
        self.checkpoints = Checkpoints(self.directory.checkpoints)
        recorded = self.directory.recorded()
        assert recorded is not None  # RunDirectory.existing has checked it
        self.config = recorded
        if parameters == "ema" and not recorded.ema:
            raise UsageError(f"parameters=ema, but {directory.path} was trained without --ema; use --parameters=raw")

    def restore(self, which: str) -> Restored:
        """The checkpoint that `which` names: "latest" (the newest good one), "best" (on validation), or a step.

        Raises UsageError if there is no such checkpoint, StorageError if it is damaged.
        """
        if which == "latest":
            restored = self.checkpoints.newest()
            if restored is None:
                raise UsageError(f"run_dir={self.directory.path} holds no checkpoint yet; wait for its first")
            for why in restored.passed_over.values():
                standard_error.tell(f"passed over: {' '.join(why.split())}")
            return self._chosen(restored)
        return self.read(self._step(which))

    def read(self, step: int) -> Restored:
        """The checkpoint of a step. Raises StorageError."""
        return self._chosen(self.checkpoints.read(step))

    def _chosen(self, restored: Restored) -> Restored:
        """The checkpoint with the asked parameters, and their hash in its manifest."""
        if self._parameters == "raw" or not ema.is_in(restored.values):
            return restored
        values = ema.in_place(restored.values)
        manifest = dataclasses.replace(restored.manifest, parameters_sha256=state.parameters_sha256(values))
        return dataclasses.replace(restored, values=values, manifest=manifest)

    def _step(self, which: str) -> int:
        steps, step = self.checkpoints.steps(), None
        if which == "best":
            step = self.directory.history().best_step(steps, self.config.best_by)
        elif which.isdecimal():
            step = int(which)
        if step not in steps:
            known = ", ".join(map(str, steps)) or "none"
            reason = "unknown: none was scored on validation" if which == "best" else "not there"
            raise UsageError(f"checkpoint={which} is {reason}; use latest, best or a step of: {known}")
        return step

    def assemble(self, restored: Restored, execution: Mapping[str, Any]) -> tuple[Assembly, Towers]:
        """The parts that a checkpoint belongs to, and towers that hold its state.

        execution: fields of the configuration that replace the recorded ones, as the devices, or the source.
        """
        config = dataclasses.replace(self.config, **execution)
        self.directory.check_code(config.model)
        spec = restored.manifest.examples
        shape, names = tuple(spec["image_shape"]), tuple(spec["class_names"])
        towers = topology.from_config(config, devices.num_gpus())
        devices.start(towers, config)
        assembly = Assembly(config, towers, ExampleSpec(shape, names, spec["num_train"], spec.get("fingerprint", "")))
        return assembly, assembly.towers(resume.fitted(restored, assembly.initial()).values)

    def tally(self, assembly: Assembly, towers: Towers, split: str) -> Tally:
        """The tally of all examples of a split, whose source may be another than the run's. Raises BadDataError."""
        tally = assembly.evaluator(towers).tally(self.examples(assembly, split))
        assert tally is not None  # no stop can be asked for here
        return tally

    def examples(self, assembly: Assembly, split: str) -> Source:
        """The examples of a split as an evaluation of these parts sees them.

        Where the source is another than the run's, a line on stderr says what it is.
        Raises BadDataError unless they have the classes and the shape that the model was trained on.
        """
        trained = assembly.spec
        with on_host(assembly.topology):
            source, what = evaluated.opened(assembly.config, self.config, trained, split)
        fault, remedy = "the examples changed since the training", "bring the old ones back"
        if what:
            fault, remedy = f"the model does not fit {assembly.config.source}", "give data like those of the training"
        for name in ("class_names", "image_shape"):
            then, now = getattr(trained, name), getattr(source, name)
            if then != now:
                raise BadDataError(f"{fault}: {name} was {then} and is {now}; {remedy}")
        if what:
            standard_error.tell(what)
        return assembly.as_evaluated(source)
