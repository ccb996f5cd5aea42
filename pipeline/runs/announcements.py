"""The first words of a launch: what was restored or imported, where it runs, what changed."""

import dataclasses
from collections.abc import Mapping

from pipeline.engine.hardware import conditions
from pipeline.monitoring import hparams
from pipeline.monitoring.journal import markdown_table
from pipeline.runs.checkpoints import Restored
from pipeline.runs.fine_tuning import Imported
from pipeline.runs.run import Run


def tell(run: Run, restored: Restored | None, imported: Imported | None) -> None:
    """Tells of this launch, in the journal of the chief."""
    _tell_start(run, restored)
    if restored:
        _tell_reshard(run, restored.manifest.config["grad_shards"])
        _tell_hardware(run, restored.manifest.hardware)
    if imported:
        run.journal.event("import", 0, **imported.as_event())
        for line in imported.lines():
            run.journal.progress(line)


def _tell_start(run: Run, restored: Restored | None) -> None:
    journal, config, step = run.journal, run.config, run.start.step
    for why in restored.passed_over.values() if restored else ():
        journal.progress(f"passed over: {why}")
    if restored:
        journal.progress(f"resumed at step {step}, {restored.manifest.state_sha256[:16]}")
        journal.event("resume", step, passed_over=list(restored.passed_over.values()))
    else:
        journal.text("run/configuration", markdown_table(dataclasses.asdict(config)), step)
        journal.job(step, hparams.start(config))
    towers, workers = run.topology, run.topology.workers
    devices = ", ".join(f"{kind.lower()}:{index}" for kind, index in towers.towers)
    where = devices if workers.count == 1 else f"{workers.count} workers with {devices} each"
    if run.restarts:
        journal.text("run/restarts", f"restart {run.restarts}, at step {step}, on {where}", step)
    counts = {"workers": workers.count, "towers": towers.total_towers, "grad_shards": config.grad_shards}
    journal.event("start", step, devices=devices, **counts)
    journal.progress(f"{config.model} on {config.source}: {where}, {config.grad_shards} shards, in {config.run_dir}")


def _tell_reshard(run: Run, before: int) -> None:
    """Tells, once, from which step on the shards are others; the launch that asked for it may have been killed."""
    now, step = run.config.grad_shards, run.start.step
    if before != now and not run.journal.history.has("reshard", step):
        run.journal.event("reshard", step, grad_shards=now, before=before)


def _tell_hardware(run: Run, before: Mapping[str, str]) -> None:
    """Tells from which step on other hardware computes: its bits may be others. An older manifest knows of none."""
    now, step = conditions(), run.start.step
    changed = [
        f"{name}: {before[name] or 'none'} -> {now[name] or 'none'}"
        for name in now
        if before.get(name, now[name]) != now[name]
    ]
    if changed:
        run.journal.event("hardware", step, before=dict(before), now=now)
        run.journal.text("run/hardware", markdown_table(now), step)
        run.journal.progress(
            f"from step {step} on other hardware computes ({'; '.join(changed)}): "
            "the last bits may differ from those of a run that stayed where it was"
        )
