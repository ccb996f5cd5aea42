"""Placement, read from graphs that TensorFlow really placed and, for devices not here, from graphs made by hand."""

import re

import pytest
import tensorflow as tf

from pipeline.engine import placement
from pipeline.engine.placement import Operation, Placement, Variable
from pipeline.errors import ExitCode, UsageError

CPU = [f"/job:localhost/replica:0/task:0/device:CPU:{i}" for i in range(4)]
TOWERS = CPU[1:3]  # the host, CPU:0, is no tower, so that nothing is right by default


class TwoTowers:
    """Two towers of conv and matmul that sum their gradients on the host, some steps in one function."""

    def __init__(self, devices=TOWERS, replica_devices=TOWERS, backward_devices=TOWERS):
        self._devices, self._backward_devices = devices, backward_devices
        self.replicas = []
        for tower, device in enumerate(replica_devices):
            with tf.device(device):
                shapes = {"conv1/kernel": [3, 3, 1, 4], "dense/kernel": [64, 10]}
                self.replicas.append(
                    [tf.Variable(tf.ones(s), name=f"tower_{tower}/parameters/{n}") for n, s in shapes.items()]
                )
        self.train = tf.function(self._train, autograph=False)

    @property
    def variables(self) -> list[tf.Variable]:
        return [variable for replica in self.replicas for variable in replica]

    def _gradients(self, tower: int, images, labels):
        parameters = [v.read_value() for v in self.replicas[tower]]
        with tf.device(self._devices[tower]), tf.name_scope(f"tower_{tower}"), tf.GradientTape() as tape:
            tape.watch(parameters)
            features = tf.nn.relu(tf.nn.conv2d(images, parameters[0], 2, "SAME"))  # [n, 4, 4, 4]
            logits = tf.reshape(features, [-1, 64]) @ parameters[1]
            loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        with tf.device(self._backward_devices[tower]):
            return tape.gradient(loss, parameters)

    def _step(self, images, labels) -> None:
        gradients = [self._gradients(tower, images, labels) for tower in range(2)]
        with tf.device(CPU[0]):
            total = [(left + right) / 2 for left, right in zip(*gradients, strict=True)]
        for tower, replica in enumerate(self.replicas):
            with tf.device(replica[0].device), tf.name_scope(f"tower_{tower}"):  # entered again: named tower_K_1
                for variable, gradient in zip(replica, total, strict=True):
                    variable.assign_sub(0.1 * gradient)

    def _train(self, images, labels, steps):
        def body(step):
            self._step(images, labels)
            return (step + 1,)

        with tf.device(CPU[0]):
            return tf.while_loop(lambda step: step < steps, body, [tf.constant(0)])

    def placement(self) -> Placement:
        """The placement that the first call shows."""
        with placement.collect() as collected:
            self.train(tf.ones([2, 8, 8, 1]), tf.constant([1, 2]), tf.constant(2))
        return placement.read(collected.graphs, self.variables)


@pytest.fixture(scope="module")
def two_towers() -> Placement:
    return TwoTowers().placement()


def kinds(operations: list[Operation]) -> set[str]:
    """Their kinds, without what a CPU's own kernels add to the name."""
    return {o.kind.removeprefix("_Mkl").removeprefix("Native") for o in operations}


def test_forward_backward_and_update_of_every_tower_are_found_on_its_device(two_towers):
    for tower, device in enumerate(TOWERS):
        operations = [o for o in two_towers.operations if o.tower == tower]
        assert {o.device for o in operations} == {device}
        assert {"Conv2D", "Relu", "MatMul", "SparseSoftmaxCrossEntropyWithLogits"} <= kinds(operations)
        assert {"Conv2DBackpropFilter", "ReluGrad", "AssignSubVariableOp"} <= kinds(operations)
        # conv and matmul forward, the gradient of both weights and of the matmul's input
        names = [o.name for o in operations if "Conv2D" in o.kind or "MatMul" in o.kind]
        assert len(names) == 5
        assert sum("gradient_tape" in name for name in names) == 3
    assert "Conv2D" not in kinds([o for o in two_towers.operations if o.tower is None])
    placement.check(two_towers, TOWERS)


def test_transfers_belong_to_no_tower_though_they_are_named_after_one(two_towers):
    received = [o for o in two_towers.operations if o.kind == "_Recv" and "tower_" in o.name and o.device == CPU[0]]
    assert len(received) == 4  # two gradients of two towers
    assert {o.tower for o in received} == {None}


def test_variables_have_their_bytes_device_and_tower(two_towers):
    assert two_towers.variables == tuple(
        Variable(f"tower_{tower}/parameters/{name}", num_bytes, TOWERS[tower], tower)
        for tower in range(2)
        for name, num_bytes in (("conv1/kernel", 3 * 3 * 4 * 4), ("dense/kernel", 64 * 10 * 4))
    )


def test_a_tower_on_another_device_is_named_with_both_devices(two_towers):
    swapped = TOWERS[::-1]
    with pytest.raises(UsageError, match=f"variable tower_0/parameters/conv1/kernel lies on {TOWERS[0]}, but"):
        placement.check(two_towers, swapped)
    only_operations = Placement((), two_towers.operations)
    with pytest.raises(UsageError, match=rf"operation \S*tower_\d/\S+ \(\w+\) lies on {TOWERS[0]}, .* {TOWERS[1]}; "):
        placement.check(only_operations, swapped)


def test_a_forward_pass_on_another_device_is_refused():
    placed = TwoTowers(devices=[CPU[1], CPU[3]]).placement()
    with pytest.raises(UsageError, match=rf"operation \S*tower_1/\S+ \(\w+\) lies on {CPU[3]}, .* is {CPU[2]};"):
        placement.check(placed, TOWERS)


def test_a_backward_pass_on_another_device_is_refused():
    placed = TwoTowers(backward_devices=[CPU[3], CPU[2]]).placement()
    with pytest.raises(UsageError, match=rf"operation \S*gradient_tape/\S*tower_0/\S+ .* lies on {CPU[3]}") as raised:
        placement.check(placed, TOWERS)
    assert raised.value.code == ExitCode.USAGE
    assert "--soft_device_placement" in str(raised.value)


def test_a_replica_on_another_device_is_refused():
    placed = TwoTowers(replica_devices=[CPU[1], CPU[3]]).placement()
    with pytest.raises(UsageError, match=f"variable tower_1/parameters/conv1/kernel lies on {CPU[3]}, but tower_1 is"):
        placement.check(placed, TOWERS)


def test_a_function_that_ran_before_shows_nothing_and_is_not_vouched_for():
    towers = TwoTowers()
    towers.placement()
    again = towers.placement()
    assert again.operations == ()
    with pytest.raises(AssertionError, match="cannot be vouched for"):
        placement.check(again, TOWERS)


def test_collecting_ends_with_an_error_inside():
    with pytest.raises(ValueError), placement.collect() as failed:
        tf.function(lambda x: x - 1)(tf.constant(1))
        raise ValueError
    tf.function(lambda x: x * x)(tf.constant(1))
    with placement.collect() as collected:
        tf.function(lambda x: x + 1)(tf.constant(1))
    assert failed.graphs == []
    computed = {node.op for graph in collected.graphs for node in graph.node} & {"Sub", "Mul", "AddV2"}
    assert computed == {"AddV2"}


# --- graphs made by hand ---


def gpu(number: int, task: int = 1) -> str:
    return f"/job:worker/replica:0/task:{task}/device:GPU:{number}"


def graph(*nodes: tuple[str, str, str]) -> tf.compat.v1.GraphDef:
    """nodes: (name, kind, device) each."""
    return tf.compat.v1.GraphDef(node=[{"name": name, "op": kind, "device": device} for name, kind, device in nodes])


@pytest.mark.parametrize(
    ("name", "tower"),
    [
        ("tower_3/conv1/Conv2D", 3),
        ("while/body/_12/while/tower_3/shard_0/conv1/Conv2D", 3),
        ("while/body/_12/tower_0/shard_0/PartitionedCall/on_host/FloorMod", None),
        ("while/body/_12/gradient_tape/while/tower_3/shard_0/conv1/Conv2D/Conv2DBackpropFilter", 3),
        ("while/tower_3/gradient_tape/conv1/ReluGrad", 3),
        ("while/tower_3_1/apply/ResourceApplyAdam", 3),
        ("tower_12/matmul", 12),
        ("tower_1/tower_2/matmul", 1),  # a model's own layer called tower_2
        ("watchtower_3/matmul", None),
        ("tower_3x/matmul", None),
        ("towers/reduce/add", None),
    ],
)
def test_the_tower_is_a_component_of_the_name(name, tower):
    [operation] = placement.read([graph((name, "MatMul", gpu(0)))], []).operations
    assert operation == Operation(name, "MatMul", gpu(0), tower)


@pytest.mark.parametrize("kind", ["_Send", "_HostRecv", "Const", "Identity", "NoOp", "Switch", "ReadVariableOp"])
def test_what_only_carries_values_may_lie_anywhere(kind):
    work = [(f"while/tower_{tower}/conv1/Conv2D", "_FusedConv2D", gpu(tower)) for tower in range(2)]
    carrier = ("while/tower_0/conv1/Conv2D/_7", kind, gpu(1))
    placement.check(placement.read([graph(*work, carrier)], []), [gpu(0), gpu(1)])


@pytest.mark.parametrize("device", [gpu(1), gpu(0, task=0), "/job:worker/replica:0/task:1/device:CPU:0", ""])
def test_work_on_another_gpu_worker_cpu_or_nowhere_is_refused(device):
    work = [(f"while/tower_{tower}/conv1/Conv2D", "_FusedConv2D", gpu(tower)) for tower in range(2)]
    moved = ("while/tower_0/dropout/Uniform", "RandomUniform", device)
    placed = placement.read([graph(*work), graph(moved)], [])
    expected = f"operation {moved[0]} (RandomUniform) lies on {device}, but tower_0 is {gpu(0)};"
    with pytest.raises(UsageError, match=re.escape(expected)):
        placement.check(placed, [gpu(0), gpu(1)])


TABLE = """\
/job:worker/replica:0/task:1/device:GPU:0
  variables              bytes
    tower_0/a/long  12,345,678
    tower_0/b                4
    together 2      12,345,682
  operations    tower_0  tower_1  no tower
    Conv2D            2        -         -
    _Recv             -        -         1
    Relu              -        1         -
    together 4        2        1         1

/job:worker/replica:0/task:1/device:GPU:9
  operations    no tower
    AddV2              1
    together 1         1

/job:worker/replica:0/task:1/device:GPU:10
  variables     bytes
    shared          4
    together 1      4
  operations    tower_1  no tower
    Conv2D            1         -
    together 1        1         0
"""


def test_table_shows_devices_in_order_variables_with_bytes_and_operations_by_kind_and_tower():
    nodes = [(f"tower_{tower}/conv1/Conv2D", "Conv2D", gpu(10 * tower)) for tower in range(2)]
    nodes += [("gradient_tape/tower_0/conv1/Conv2D_1", "Conv2D", gpu(0)), ("tower_1/x/_3", "_Recv", gpu(0))]
    nodes += [("tower_1/relu", "Relu", gpu(0)), ("add", "AddV2", gpu(9))]
    variables = [Variable("tower_0/b", 4, gpu(0), 0), Variable("tower_0/a/long", 12_345_678, gpu(0), 0)]
    variables += [Variable("shared", 4, gpu(10), None)]
    placed = Placement(tuple(variables), placement.read([graph(*nodes)], []).operations)
    heading, _, sections = placement.table(placed).partition("\n\n")
    assert heading.startswith("The variables and operations of each device")
    assert sections == TABLE
