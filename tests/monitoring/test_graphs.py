"""The graph that is shown has a box for each tower and one for the host, and is still the same graph."""

from collections import Counter

import pytest
from small_run import topology, trainer

from pipeline.monitoring import graphs


def step_graph(**options):
    """That of a trainer of two towers, as it is shown."""
    one = trainer(2, **options)
    one.advance(0, 1)
    return graphs.readable(one.graph())


@pytest.mark.parametrize("variables", ["replicated", "cpu"])
def test_a_tower_is_a_box_whose_operations_lie_on_its_device(variables):
    graph = step_graph(variables=variables, grad_shards=4)
    boxes = {node.name.partition("/")[0] for node in graph.node}
    assert boxes == {"host", "tower_0", "tower_1"} | ({"shared"} if variables == "cpu" else set())
    first, second = topology(2).devices
    for box, device in {"host": first, "tower_0": first, "tower_1": second}.items():
        assert {node.device for node in graph.node if node.name.startswith(f"{box}/")} == {device}
    shards = {"/".join(node.name.split("/")[:2]) for node in graph.node if "/shard_" in node.name}
    assert shards == {"tower_0/shard_0", "tower_0/shard_1", "tower_1/shard_2", "tower_1/shard_3"}


def test_every_edge_leads_to_an_operation_and_no_two_have_one_name():
    graph = step_graph()
    names = Counter(node.name for node in graph.node)
    assert set(names.values()) == {1}
    inputs = {name.removeprefix("^").partition(":")[0] for node in graph.node for name in node.input}
    assert inputs <= names.keys()
    assert any("/gradient/" in name for name in inputs)
