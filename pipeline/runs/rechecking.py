"""Rechecked steps: some shards are computed on two towers, and a difference of one bit stops the run."""

import json
import socket
from collections.abc import Sequence

import numpy as np

from pipeline.engine import checks
from pipeline.engine.checks import Check
from pipeline.engine.outcome import Outcome
from pipeline.engine.recheck import Evidence
from pipeline.errors import DivergedError
from pipeline.runs.run import Run
from pipeline.runs.saving import Saver


class Rechecker:
    """Computes the rechecked steps of an open run, and compares what its towers computed. All workers call it alike."""

    def __init__(self, run: Run, saver: Saver):
        self._run, self._saver, self._topology = run, saver, run.topology
        self.has_traced = False  # the first rechecked step traces its function

    def advance(self, step: int, asked: float) -> Outcome:
        """Computes one step, to the bits of `Trainer.advance`. Raises DivergedError if two towers differ in a bit."""
        run, self.has_traced = self._run, True
        todo = checks.checks(self._topology, run.config.grad_shards, step // run.config.recheck_every)
        outcome, evidence = run.trainer.advance_rechecked(step, todo, asked)
        own, again = self._from_all(evidence.own), self._from_all(evidence.again)
        unequal = [check for check in todo if not np.array_equal(own[check.owner], again[check.checker])]
        if unequal:
            raise self._error(step, unequal, own, again, evidence)
        if not outcome.diverged:
            run.journal.event("recheck", step + 1, checks=len(todo))
        return outcome

    def _from_all(self, own: np.ndarray) -> np.ndarray:
        """Every worker's [n, tensors] int64 one after the other: [workers * n, tensors]."""
        parts = self._run.cluster.gather(np.ascontiguousarray(own).tobytes())
        return np.concatenate([np.frombuffer(part, np.int64).reshape(own.shape) for part in parts])

    def _error(
        self, step: int, unequal: Sequence[Check], own: np.ndarray, again: np.ndarray, evidence: Evidence
    ) -> DivergedError:
        """The error for checks whose two computations differ, after a third one of each."""
        names, tensors = self._names(), self._tensors()
        found, wrong = [], set()
        for check in unequal:
            first, second = own[check.owner], again[check.checker]
            wrong |= checks.wrong(self._topology, check, first, second, self._third(check, step, evidence))
            where = [name for name, differs in zip(tensors, first != second, strict=True) if differs]
            found.append(
                f"shard {check.shard} has other bits on {names[check.owner]} than on {names[check.checker]} "
                f"(in {', '.join(where[:3])}{f' and {len(where) - 3} more' if len(where) > 3 else ''})"
            )
        accused = [names[rank] for rank in sorted(wrong)]
        kept, aside = self._set_aside()
        why = (
            f"at step {step} {'; '.join(found)}. "
            + (f"By a third computation {' and '.join(accused)} is wrong. " if accused else "Either may be wrong. ")
            + (f"Checkpoints since the last recheck are set aside as damaged-ckpt-{_listed(aside)}. " if aside else "")
            + f"Take that device or machine out, {kept}"
        )
        self._run.journal.event("corrupted", step, devices=", ".join(accused), why=why, withdrawn=aside)
        return DivergedError(why)

    def _third(self, check: Check, step: int, evidence: Evidence) -> np.ndarray:
        """The fingerprints of a third computation of a check's shard: [tensors] int64."""
        worker, tower = divmod(checks.third(self._topology, check), self._topology.num_towers)
        own = np.zeros_like(evidence.own[:1])
        if worker == self._topology.workers.index:
            own[0] = self._run.trainer.fingerprints(tower, step, check.shard, evidence)
        return self._from_all(own)[worker]

    def _set_aside(self) -> tuple[str, list[int]]:
        """What to do after taking a machine out, and the steps of the checkpoints that the chief has set aside."""
        run = self._run
        own = self._saver.set_aside_unchecked() if run.is_chief else None
        kept, aside = json.loads(run.cluster.broadcast(json.dumps(own).encode()))
        if aside and not kept:
            return "and start anew in another --run_dir: no checkpoint was saved before a recheck", aside
        return f"then the same command goes on from {f'the checkpoint of step {kept}' if kept else 'step 0'}", aside

    def _names(self) -> list[str]:
        """Every tower's device, worker and host, by rank."""
        own = [f"{kind.lower()}:{index}" for kind, index in self._topology.towers]
        told = self._run.cluster.gather(json.dumps([socket.gethostname(), own]).encode())
        return [
            f"{device} of worker {index} on {host}"
            for index, (host, devices) in enumerate(map(json.loads, told))
            for device in devices
        ]

    def _tensors(self) -> list[str]:
        """The names of the tensors that have fingerprints, as `ShardSums` has them."""
        gradients = [f"the gradient of {variable.path}" for variable in self._run.assembly.trained]
        replica = self._run.trainer.towers.replicas[0].variables
        return ["the loss", "the hits", *gradients, *(name for name in replica if name.startswith("statistics/"))]


def _listed(steps: Sequence[int]) -> str:
    return ", ".join(map(str, steps))
