"""The flags that stand for more than one value, parsed."""

import contextlib
import dataclasses
import functools
import re

from pipeline.augment import Operation, parse
from pipeline.config.flags import Flags
from pipeline.errors import UsageError
from pipeline.metrics import choosing
from pipeline.metrics.choosing import EarlyStop
from pipeline.metrics.names import Names
from pipeline.metrics.names import parse as parse_metrics
from pipeline.text import flag_values
from pipeline.text.flag_values import Device, ImageSize, Lookahead, Normalization, Steps, Views

# The properties that hold parsed values, and raise UsageError where that cannot be.
PARSED = (
    "size",
    "rates",
    "devices",
    "average_window",
    "profile_window",
    "augmentation",
    "normalization",
    "views",
    "lookahead_rule",
    "frozen",
    "stop_rule",
    "metric_names",
)


@dataclasses.dataclass(frozen=True)
class Parsed(Flags):
    """The flags, and the values that some of them stand for. A property raises UsageError for a text that has none."""

    def __post_init__(self) -> None:
        """Gives --image_size its one spelling, where it has one: 224x224 is 224."""
        with contextlib.suppress(UsageError):
            object.__setattr__(self, "image_size", str(flag_values.image_size(str(self.image_size))))

    @functools.cached_property
    def size(self) -> ImageSize:
        """--image_size, parsed; (0, 0) for the source's own."""
        return flag_values.image_size(self.image_size)

    @functools.cached_property
    def rates(self) -> tuple[tuple[int, float], ...]:
        """--piecewise, parsed: the rate from each step on."""
        return flag_values.rates(self.piecewise)

    @functools.cached_property
    def average_window(self) -> Steps:
        """--average, parsed: the steps over which the parameters are averaged."""
        return flag_values.steps("average", self.average)

    @functools.cached_property
    def stop_rule(self) -> EarlyStop | None:
        """--early_stop, parsed; None without it."""
        return choosing.early_stop(self.early_stop)

    @property
    def judges(self) -> dict[str, str]:
        """The metrics on validation that decide something, by flag."""
        rule = self.stop_rule
        return {"best_by": self.best_by, **({"early_stop": rule.metric} if rule else {})}

    @functools.cached_property
    def lookahead_rule(self) -> Lookahead | None:
        """--lookahead, parsed; None without it."""
        return flag_values.lookahead(self.lookahead)

    @functools.cached_property
    def metric_names(self) -> Names:
        """--metrics, parsed; data may have more classes or fewer than it needs."""
        return parse_metrics(self.metrics)

    @functools.cached_property
    def profile_window(self) -> Steps:
        """--profile, parsed: the steps that are traced."""
        return flag_values.steps("profile", self.profile)

    @functools.cached_property
    def frozen(self) -> re.Pattern[str] | None:
        """--freeze, compiled; None without it."""
        return flag_values.pattern("freeze", self.freeze) if self.freeze else None

    @functools.cached_property
    def devices(self) -> tuple[Device, ...]:
        """--tower_devices, parsed."""
        return flag_values.devices(self.tower_devices)

    @functools.cached_property
    def normalization(self) -> Normalization:
        """--normalize, parsed."""
        return flag_values.normalization(self.normalize)

    @functools.cached_property
    def views(self) -> Views:
        """--tta, parsed: what evaluations see besides the picture itself."""
        return flag_values.views(self.tta)

    @functools.cached_property
    def augmentation(self) -> tuple[Operation, ...]:
        """--augment, parsed."""
        return parse(self.augment)
