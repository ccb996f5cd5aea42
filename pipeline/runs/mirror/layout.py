"""A mirror and the run directory beside it: the same names on both sides, and who may write the mirror."""

import dataclasses
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.errors import StorageError, UsageError
from pipeline.runs import manifests, naming
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.manifests import Manifest
from pipeline.runs.mirror import claims
from pipeline.runs.mirror.claims import Claim
from pipeline.runs.run_directory import RunDirectory
from pipeline.storage.reading import MOST_SMALL_BYTES, parse_json
from pipeline.storage.stores import NotThereError, RefusedError, Store

CHECKPOINTS = "checkpoints/"
_MIRRORED = re.compile(r"(config\.flags|metrics\.jsonl|tracking\.json|placement\.txt|(tensorboard|logs)/.+)")


class TakenOverError(Exception):
    """A later launch of the run, on another machine perhaps, has claimed the mirror."""


class Mirror:
    """The store of a mirror, for the chief of a run."""

    def __init__(self, store: Store, directory: RunDirectory, checkpoints: Checkpoints):
        self.store, self.directory, self.checkpoints = store, directory, checkpoints
        self.claim: Claim | None = None  # this launch's, once it is written

    @property
    def address(self) -> str:
        """The address of the mirror."""
        return self.store.address

    def found(self) -> Claim | None:
        """The claim that lies in the mirror; None in an empty one.

        Raises UsageError if the mirror belongs to another run, or the store holds other things, StorageError for a
        damaged claim, and StoreError.
        """
        claim = Claim.read(self.store)
        has_run = self.directory.config.exists() or bool(self.checkpoints.leftovers())
        if claim and has_run and claim.run != naming.read(self.directory.mirror, "mirror"):
            raise UsageError(
                f"mirror={self.address} is of another run than run_dir={self.directory.path}; give this run another "
                "--mirror, or an empty --run_dir to go on with the mirror's run"
            )
        if claim is None and (names := sorted(self.store.sizes())):
            raise UsageError(
                f"mirror={self.address} holds other files ({names[0]}, …) and no {claims.NAME}; give an empty one"
            )
        return claim

    def record_run(self, found: Claim | None) -> None:
        """Records in the directory which run it belongs to, before anything of the mirror's lies there."""
        before = naming.read(self.directory.mirror, "mirror")
        run = found.run if found else before or naming.new()
        if run != before:
            self.directory.write(self.directory.mirror, naming.text(run))

    def take(self, found: Claim | None) -> None:
        """Claims the mirror for this launch. Raises StoreError."""
        run = naming.read(self.directory.mirror, "mirror")
        claim = Claim.of_this_process(run, found.checkpoint if found else -1)
        try:
            claim.write(self.store)
        except NotThereError as error:  # of a bucket
            raise RefusedError(str(error)) from None
        self.claim = claim

    def check_owner(self) -> None:
        """Raises TakenOverError if another launch has claimed the mirror since, and StoreError."""
        assert self.claim is not None
        now = Claim.read(self.store)
        if now is None or now.owner != self.claim.owner:
            raise TakenOverError(now.process if now else "nobody: it was emptied")

    def reached(self, step: int) -> None:
        """Records that the checkpoint of a step is whole in the mirror. Raises StoreError."""
        assert self.claim is not None
        if step > self.claim.checkpoint:
            self.claim = dataclasses.replace(self.claim, checkpoint=step)
            self.claim.write(self.store)

    def manifest(self, step: int) -> Manifest:
        """The manifest of a checkpoint in the mirror. Raises StorageError if it is damaged, and StoreError."""
        name = manifest_name(step)
        try:
            manifest = manifests.opened(parse_json(self.store.read(name, 0, MOST_SMALL_BYTES)))
            if manifest.step != step:
                raise ValueError(f"it is of step {manifest.step}")
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(f"{self.address}/{name} is damaged or not a manifest: {error}") from None
        return manifest

    def bring(self, step: int, check: Callable[[], None]) -> None:
        """Brings a checkpoint of the mirror into the run directory. check: called before every block.

        Raises StorageError if it is damaged or the disk refuses it, and StoreError.
        """
        manifest = self.manifest(step)

        def fetch(name: str, path: Path) -> None:
            self.store.download(CHECKPOINTS + name, manifest.files[name]["bytes"], path, check)

        self.checkpoints.adopt(manifest, fetch)

    def name(self, path: Path) -> str:
        """The name in the mirror of a file in the run directory."""
        return path.relative_to(self.directory.path).as_posix()

    def files(self) -> list[Path]:
        """The files in the run directory that are mirrored besides checkpoints; the history comes last."""
        directory = self.directory
        found = [directory.config, directory.placement]
        for parent in (directory.logs, directory.tensorboard):
            found += sorted(Path(where) / name for where, _, names in os.walk(parent) for name in names)
        return [path for path in (*found, directory.metrics) if path.is_file() and not path.is_symlink()]


def manifest_name(step: int) -> str:
    """The name of a step's manifest in a mirror. It is written last: if it is there, the checkpoint is whole."""
    return CHECKPOINTS + manifests.path(Path(), step).name


def steps(names: Iterable[str]) -> list[int]:
    """The steps whose manifests are among these names, in order."""
    inside = (name.removeprefix(CHECKPOINTS) for name in names if name.startswith(CHECKPOINTS))
    return sorted(step for name in inside if (step := manifests.step_of(name)) is not None)


def is_mirrored(name: str) -> bool:
    """Whether a name in a store is one of a mirror's files besides checkpoints, and leads nowhere else."""
    return bool(_MIRRORED.fullmatch(name)) and not {"", ".", ".."} & set(name.split("/"))
