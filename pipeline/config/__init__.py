"""The configuration: one frozen dataclass, whose fields are the flags.

`flags.py` has one field for each flag, `parsed.py` the values that some of them stand for, `rules.py` the rules
between them, `configuration.py` the class `Config`, and `continuing.py` the values that a run keeps from its start on.
"""

from pipeline.config.configuration import Config
from pipeline.config.continuing import differences, keep_recorded, resolve
from pipeline.config.fields import EXECUTION, KEPT, LENGTH, MATHEMATICS
from pipeline.config.flags import ALIKE, BALANCED, OF_ONE_START, OPTIMIZERS, PRECISIONS, SCHEDULES
from pipeline.config.rules import LARGEST_FLOAT32, MOST_WHOLE
from pipeline.config.values import format_value, parse_value

__all__ = [
    "ALIKE",
    "BALANCED",
    "EXECUTION",
    "KEPT",
    "LARGEST_FLOAT32",
    "LENGTH",
    "MATHEMATICS",
    "MOST_WHOLE",
    "OF_ONE_START",
    "OPTIMIZERS",
    "PRECISIONS",
    "SCHEDULES",
    "Config",
    "differences",
    "format_value",
    "keep_recorded",
    "parse_value",
    "resolve",
]
