"""The state of a run between two steps: named arrays, and the replicas whose variables hold them.

Names are those in a checkpoint: parameters/PATH, slots/SLOT/PATH, averages/PATH, statistics/PATH, ema/PATH,
ema_statistics/PATH, slow/PATH, slow_statistics/PATH, loss_scale/NAME.
The step is not among them: it is an argument, never state.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf

from pipeline.config import Config
from pipeline.engine import averaging, ema, lookahead, loss_scale
from pipeline.engine.optimizers import Optimizer
from pipeline.models.variables import statistics_of

_BLOCK, _HASHING = 1 << 24, 4  # bytes that are compared or hashed at once, and threads that hash
Values = dict[str, np.ndarray]  # in the order in which they are hashed and written
Snapshot = dict[str, tf.Tensor]  # the values of a replica at one moment, in the host's memory


def initial(model: keras.Model, trained: Sequence[keras.Variable], optimizer: Optimizer, config: Config) -> Values:
    """The state at step 0: the model's initial values, and fresh slots of the parameters that are trained."""
    parameters = {v.path: v.numpy() for v in model.trainable_variables}
    values = {f"parameters/{path}": value for path, value in parameters.items()}
    for slot, start in optimizer.slots.items():
        values |= {f"slots/{slot}/{v.path}": np.full(v.shape, start, np.float32) for v in trained}
    if config.average:
        values |= averaging.initial(parameters)
    values |= {f"statistics/{v.path}": v.numpy() for v in statistics_of(model)}
    own = values
    if config.ema:
        values = values | ema.initial(own)
    if config.lookahead:
        values = values | lookahead.initial(own)
    return values | (loss_scale.initial() if config.precision == "float16" else {})


@dataclasses.dataclass(frozen=True)
class Replica:
    """One copy of the state as variables on one device."""

    device: str
    scope: str  # of the variables' own names: tower_K, or "" for the only copy
    variables: Mapping[str, tf.Variable]

    @classmethod
    def create(cls, values: Values, device: str, scope: str) -> "Replica":
        """Makes the variables on the device in force, which must be `device`."""
        names = {name: f"{scope}/{name}" if scope else name for name in values}
        return cls(device, scope, {name: tf.Variable(v, name=names[name], dtype=v.dtype) for name, v in values.items()})

    def _under(self, prefix: str) -> list[tf.Variable]:
        return [variable for name, variable in self.variables.items() if name.startswith(prefix + "/")]

    @property
    def parameters(self) -> list[tf.Variable]:
        """The parameters, in the order of the model's trainable variables."""
        return self._under("parameters")

    @property
    def averages(self) -> list[tf.Variable]:
        """The means of --average, in the order of the parameters; empty without --average."""
        return self._under(averaging.GROUP)

    @property
    def statistics(self) -> list[tf.Variable]:
        """The running statistics, in the order of the model's non-trainable variables without the seeds."""
        return self._under("statistics")

    @property
    def ema(self) -> tuple[list[tf.Variable], list[tf.Variable]]:
        """The moving averages of the parameters and of the statistics, in their orders; empty without --ema."""
        return self._under(ema.PARAMETERS), self._under(ema.STATISTICS)

    @property
    def slow(self) -> tuple[list[tf.Variable], list[tf.Variable]]:
        """The copies of --lookahead of parameters and statistics, in their orders; empty without it."""
        return self._under(lookahead.PARAMETERS), self._under(lookahead.STATISTICS)

    def parameter(self, path: str) -> tf.Variable:
        """The parameter of this path."""
        return self.variables[f"parameters/{path}"]

    def slots(self, path: str, names: Iterable[str]) -> list[tf.Variable]:
        """The slots of the parameter of this path, in the order of `names`."""
        return [self.variables[f"slots/{name}/{path}"] for name in names]

    def read(self) -> Snapshot:
        """The present values. A later update of a variable does not change them.

        On a CPU this copies nothing: TensorFlow shares a variable's memory until the next update.
        """
        return {name: variable.read_value().cpu() for name, variable in self.variables.items()}

    def write(self, values: Values) -> None:
        """Gives every variable its value."""
        for name, variable in self.variables.items():
            variable.assign(values[name])


def arrays(snapshot: Snapshot) -> Values:
    """The snapshot's memory as NumPy arrays, read-only."""
    return {name: np.asarray(tensor) for name, tensor in snapshot.items()}


def are_equal(one: Snapshot, other: Snapshot) -> bool:
    """Whether two snapshots of the same names and shapes have the same bytes. It takes less time than a hash."""
    return all(map(np.array_equal, _blocks(one), _blocks(other)))


def fingerprint(values: Snapshot) -> str:
    """A hash of the state that several threads compute, for comparisons of workers alone."""
    with ThreadPoolExecutor(_HASHING) as threads:
        hashes = threads.map(lambda block: hashlib.sha256(block).digest(), _blocks(values))
        return hashlib.sha256(b"".join([*map(str.encode, sorted(values)), *hashes])).hexdigest()


def _blocks(values: Snapshot) -> Iterator[np.ndarray]:
    """The bytes of a snapshot, by the order of its names, in parts of _BLOCK and less: [n] uint8 each."""
    for _, value in sorted(values.items()):
        content = np.frombuffer(np.ascontiguousarray(value).data, np.uint8)
        yield from (content[start : start + _BLOCK] for start in range(0, len(content), _BLOCK))


def sha256(values: Mapping[str, np.ndarray | tf.Tensor]) -> str:
    """The hash of named arrays: for each, sorted by name, 'name dtype shape', a newline, and its bytes in C order."""
    digest = hashlib.sha256()
    for name, value in sorted(values.items()):
        digest.update(f"{name} {value.dtype.name} {list(value.shape)}\n".encode())
        digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()


def parameters_sha256(values: Mapping[str, np.ndarray | tf.Tensor]) -> str:
    """The hash of the parameters alone."""
    return sha256({name: value for name, value in values.items() if name.startswith("parameters/")})


def state_sha256(values: Mapping[str, np.ndarray | tf.Tensor], step: int) -> str:
    """The hash of all that a checkpoint holds, with the step."""
    return sha256({**values, "global_step": np.asarray(step, np.int64)})
