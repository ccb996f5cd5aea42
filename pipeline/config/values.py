"""The text that a flag takes for a value, and back."""

from typing import Any

from pipeline.config.flags import Flags


def format_value(value: Any) -> str:
    """A field's value as its flag takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_value(name: str, text: str) -> Any:
    """The value of a field, from the text that its flag takes. Raises ValueError if it is not of the field's type."""
    kind: Any = type(Flags.__dataclass_fields__[name].default)
    if kind is bool and text not in ("true", "false"):
        raise ValueError(text)
    return text == "true" if kind is bool else kind(text)
