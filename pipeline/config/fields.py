"""A field of the configuration: its default, and as metadata all that a flag has.

The role of a field:

* MATHEMATICS: it decides the numbers of a run. It is fixed for the life of the run: a resume with another value is
  refused.
* KEPT: mathematics too, but 0 (or "") asks for a default that depends on the machine or the other flags. This is chosen
  at the first start and kept from then on.
* LENGTH: it decides the length of the run. A resume may change it.
* EXECUTION: it decides how the numbers are computed, reported and saved. It may differ at every start.
"""

import dataclasses
from typing import Any

MATHEMATICS, KEPT, LENGTH, EXECUTION = "mathematics", "kept", "length", "execution"


def flag(
    default: Any,
    help_text: str,
    *,
    topic: str,
    role: str = MATHEMATICS,
    choices: tuple[str, ...] | None = None,
    least: float | None = None,
    most: float | None = None,
    example: Any = None,
) -> Any:
    """A dataclass field for a flag.

    topic: the heading of its help. choices, or least and most: the values it takes. example: a value that messages
    show in place of the default, where that says little.
    """
    metadata = {"help": help_text, "topic": topic, "role": role, "choices": choices, "least": least, "most": most}
    metadata["example"] = default if example is None else example
    return dataclasses.field(default=default, metadata=metadata)
