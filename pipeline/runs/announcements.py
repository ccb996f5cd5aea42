"""The first lines of a launch: the restored checkpoint or imported values, the devices, the changes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline import sources
from pipeline.engine import hardware
from pipeline.monitoring import hparams
from pipeline.monitoring.journal import markdown_table
from pipeline.runs import membership, settings
from pipeline.runs.checkpoints import Restored
from pipeline.runs.fine_tuning import Imported
from pipeline.runs.run import Run


def announce(run: Run, restored: Restored | None, imported: Imported | None) -> None:
    """Writes the first lines of this launch to the chief's journal."""
    _announce_start(run, restored)
    if restored:
        _announce_moves(run, restored.manifest.config)
        _announce_reshard(run, restored.manifest.config["grad_shards"])
        _announce_hardware(run, restored.manifest.hardware)
    if imported:
        run.journal.event("import", 0, **imported.as_event())
        for line in imported.lines():
            run.journal.progress(line)


def _announce_start(run: Run, restored: Restored | None) -> None:
    journal, config, step = run.journal, run.config, run.start.step
    for reason in restored.passed_over.values() if restored else ():
        journal.progress(f"passed over: {reason}")
    if restored:
        journal.progress(f"resumed at step {step}, {restored.manifest.state_sha256[:16]}")
        journal.event("resume", step, passed_over=list(restored.passed_over.values()))
    else:
        journal.text("run/configuration", markdown_table(dataclasses.asdict(config)), step)
        journal.whole_run(step, hparams.start(config))
    towers, workers = run.topology, run.topology.workers
    devices = ", ".join(f"{kind.lower()}:{index}" for kind, index in towers.towers)
    where = devices if workers.count == 1 else f"{workers.count} workers with {devices} each"
    if run.restarts:
        journal.text("run/restarts", f"restart {run.restarts}, at step {step}, on {where}", step)
    counts = {"workers": workers.count, "towers": towers.total_towers, "grad_shards": config.grad_shards}
    journal.event("start", step, devices=devices, **counts, **membership.as_event(workers))
    journal.progress(f"{config.model} on {config.source}: {where}, {config.grad_shards} shards, in {config.run_dir}")


def _announce_moves(run: Run, before: Mapping[str, Any]) -> None:
    """Tells of inputs that lie at another place than at the launch that saved the checkpoint."""
    for name in settings.PLACES:
        then, now = sources.normalized(before.get(name, "")), getattr(run.config, name)
        if then != now:
            run.journal.progress(f"the same {name} at another place: {now or 'none'}, before {then or 'none'}")


def _announce_reshard(run: Run, before: int) -> None:
    """Reports a changed number of shards once, also where a kill ended the launch that asked for it."""
    now, step = run.config.grad_shards, run.start.step
    if before != now and not run.journal.history.has("reshard", step):
        run.journal.event("reshard", step, grad_shards=now, before=before)


def _announce_hardware(run: Run, before: Mapping[str, str]) -> None:
    """Reports a change of hardware, after which the bits may differ. A manifest of before 0.2.0 names no hardware."""
    now, step = hardware.conditions(), run.start.step
    if changed := hardware.changes(before, now):
        run.journal.event("hardware", step, before=dict(before), now=now)
        run.journal.text("run/hardware", markdown_table(now), step)
        run.journal.progress(
            f"from step {step} on the run uses other hardware ({'; '.join(changed)}): "
            "the last bits may differ from those of a run on the old hardware"
        )
