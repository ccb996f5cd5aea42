"""The configuration of a run."""

import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

from pipeline.config import rules
from pipeline.config.fields import KEPT, MATHEMATICS
from pipeline.config.flags import LATER, OF_ONE_START
from pipeline.config.parsed import Parsed
from pipeline.config.values import format_value


@dataclasses.dataclass(frozen=True)
class Config(Parsed):
    """The flags of a run. Construct it, then call `validate`."""

    def validate(self) -> None:
        """Raises UsageError for the first value that breaks a rule. Touches no device and no disk.

        Names of sources and models are checked against their registries in runs/settings.py.
        """
        rules.check(self)

    def role(self, *roles: str) -> dict[str, Any]:
        """The fields of these roles and their values."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata["role"] in roles}

    def mathematics(self) -> dict[str, Any]:
        """The fields that decide the numbers of a run, and their values."""
        return self.role(MATHEMATICS, KEPT)

    def default_run_dir(self) -> Path:
        """The path runs/SOURCE-MODEL-HASH. It depends on the mathematics alone, so one command always finds its run."""
        fields = self.__dataclass_fields__
        mathematics = self.mathematics().items()
        counted = {name: value for name, value in mathematics if name not in LATER or value != fields[name].default}
        if self.size.height == self.size.width:
            counted["image_size"] = self.size.height  # a number, as before there were rectangles
        recipe = repr(sorted(counted.items())).encode()
        words = (self.source, self.model, hashlib.sha256(recipe).hexdigest()[:8])
        return Path("runs") / "-".join(re.sub(r"[^\w.]+", "_", word).strip("_") for word in words)

    def to_flags(self) -> str:
        """An absl flagfile that repeats the run in another --run_dir."""
        recorded = [name for name in self.__dataclass_fields__ if name not in OF_ONE_START]
        return "".join(f"--{name}={format_value(getattr(self, name))}\n" for name in recorded)

    def to_arguments(self) -> list[str]:
        """The arguments of a command line that gives this configuration."""
        return [f"--{name}={format_value(getattr(self, name))}" for name in self.__dataclass_fields__]
