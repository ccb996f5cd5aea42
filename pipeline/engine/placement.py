"""The placement: the device of every variable and operation, read from TensorFlow's graphs and checked.

The graphs are those after placement and optimization, one partition a device. So they show the devices that are used,
not those that were asked for. An operation belongs to tower K if its name has a component tower_K. Scopes such as
`while/body/` and `gradient_tape/` only come before it, and TensorFlow names a scope that is entered again tower_K_1.
"""

import contextlib
import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import tensorflow as tf
from tensorflow.python.eager import context  # as in tf.summary.trace_on: no public function returns these graphs

from pipeline.engine.places import ON_HOST
from pipeline.errors import UsageError
from pipeline.text.tables import aligned

# Operations that compute nothing. They belong to no tower, even where their names have a tower in them.
_CARRIERS = {
    # transfers to another device; both ends are named after the operation that made the value
    *("_Send", "_Recv", "_HostSend", "_HostRecv"),
    # arguments, results, and values that are passed on
    *("_Arg", "_Retval", "_DeviceArg", "_DeviceRetval", "Identity", "IdentityN", "NoOp", "ControlTrigger"),
    # loops and branches, which every device runs
    *("Enter", "Exit", "Merge", "Switch", "_SwitchN", "NextIteration", "LoopCond"),
    # constants, which are copied to each device that uses them
    *("Const", "HostConst"),
    # reads, which TensorFlow puts beside their variable; `check` looks at the variable
    *("VarHandleOp", "ReadVariableOp", "_ReadVariablesOp"),
}
_HEADING = """\
The variables and operations of each device, from the graphs as placed. The operations of the host belong to no tower,
and neither do those that only carry values: constants, transfers between devices, reads, loops and branches.
"""
_TOWER = re.compile(rf"(?:^|/)tower_(\d+)(?:_\d+)?(?:/|$)(?!.*/?{ON_HOST}/)")


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation of a placed graph."""

    name: str
    kind: str
    device: str
    tower: int | None  # None: it belongs to no tower, or only carries values


@dataclasses.dataclass(frozen=True)
class Variable:
    """A variable and its memory."""

    name: str
    num_bytes: int
    device: str
    tower: int | None  # None: not part of a tower's replica


@dataclasses.dataclass(frozen=True)
class Placement:
    """Every variable, and every operation of one TensorFlow function, with its device."""

    variables: tuple[Variable, ...]
    operations: tuple[Operation, ...]

    @property
    def everything(self) -> tuple[Variable | Operation, ...]:
        """The variables, then the operations."""
        return (*self.variables, *self.operations)


@dataclasses.dataclass
class Collected:
    """The graphs that `collect` collected."""

    graphs: list[tf.compat.v1.GraphDef] = dataclasses.field(default_factory=list)


@contextlib.contextmanager
def collect() -> Iterator[Collected]:
    """Collects the graphs of the functions that first run inside. The result is filled when the context ends."""
    collected = Collected()
    context.enable_graph_collection()
    try:
        yield collected
        collected.graphs.extend(context.export_run_metadata().partition_graphs)
    finally:
        context.disable_graph_collection()


def read(graphs: Iterable[tf.compat.v1.GraphDef], variables: Iterable[tf.Variable]) -> Placement:
    """The placement in partition graphs and variables. Device names are full ones."""
    return Placement(
        tuple(
            Variable(v.name.removesuffix(":0"), v.shape.num_elements() * v.dtype.size, v.device, _tower(v.name))
            for v in variables
        ),
        tuple(
            Operation(node.name, node.op, node.device, None if node.op in _CARRIERS else _tower(node.name))
            for graph in graphs
            for node in graph.node
        ),
    )


def _tower(name: str) -> int | None:
    match = _TOWER.search(name)
    return int(match[1]) if match else None


def check(placement: Placement, tower_devices: Sequence[str]) -> None:
    """Raises UsageError if an operation or a variable of tower K lies elsewhere than on tower_devices[K]."""
    with_operations = {operation.tower for operation in placement.operations}
    assert with_operations.issuperset(range(len(tower_devices))), "a tower without operations cannot be vouched for"
    for item in placement.everything:
        if item.tower is not None and item.device != tower_devices[item.tower]:
            raise UsageError(
                f"{_described(item)} lies on {item.device}, but tower_{item.tower} is {tower_devices[item.tower]}; "
                "without --soft_device_placement the missing kernel is named, or choose other --tower_devices"
            )


def _described(item: Variable | Operation) -> str:
    return f"variable {item.name}" if isinstance(item, Variable) else f"operation {item.name} ({item.kind})"


def table(placement: Placement) -> str:
    """The placement as aligned text: for each device its variables with bytes, its operations by kind and by tower."""
    devices = sorted({item.device for item in placement.everything}, key=_natural_key)
    return "\n".join([_HEADING, *(_section(device, placement) for device in devices)])


def _natural_key(device: str) -> list[str | int]:
    """A key that sorts CPU:10 after CPU:9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", device)]


def _section(device: str, placement: Placement) -> str:
    variables = [v for v in placement.variables if v.device == device]
    operations = [o for o in placement.operations if o.device == device]
    lines = [device]
    if variables:
        lines += _aligned(_variable_rows(variables))
    if operations:
        lines += _aligned(_operation_rows(operations))
    return "\n".join([*lines, ""])


def _variable_rows(variables: Sequence[Variable]) -> list[list[str]]:
    rows = [[f"    {v.name}", f"{v.num_bytes:,}"] for v in sorted(variables, key=lambda v: v.name)]
    return [["  variables", "bytes"], *rows, [f"    together {len(rows)}", f"{sum(v.num_bytes for v in variables):,}"]]


def _operation_rows(operations: Sequence[Operation]) -> list[list[str]]:
    """One row for each kind, one column for each tower, and a last column for operations of no tower."""
    towers = [*sorted({o.tower for o in operations if o.tower is not None}), None]
    counts = Counter((o.kind, o.tower) for o in operations)
    kinds = sorted({o.kind for o in operations}, key=lambda kind: kind.lstrip("_"))
    rows = [[f"    {kind}", *(str(counts[kind, tower] or "-") for tower in towers)] for kind in kinds]
    totals = [str(sum(o.tower == tower for o in operations)) for tower in towers]
    heads = ["no tower" if tower is None else f"tower_{tower}" for tower in towers]
    return [["  operations", *heads], *rows, [f"    together {len(operations)}", *totals]]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns: the first flush left, the others flush right."""
    return aligned(rows, right=range(1, len(rows[0])))
