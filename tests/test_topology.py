import pytest

from pipeline import topology
from pipeline.config import Config
from pipeline.exits import UsageError
from pipeline.topology import Topology

LOCAL = "/job:localhost/replica:0/task:0/device:"


def of(num_gpus: int = 0, **fields) -> Topology:
    return topology.of(Config(**fields), num_gpus)


@pytest.mark.parametrize(
    "fields, num_gpus, towers",
    [
        ({}, 0, ["CPU:0"]),
        ({}, 2, ["GPU:0", "GPU:1"]),
        ({"towers": 3}, 0, ["CPU:0", "CPU:1", "CPU:2"]),
        ({"towers": 1}, 2, ["GPU:0"]),
        ({"tower_devices": "gpu:3,gpu:1"}, 4, ["GPU:3", "GPU:1"]),
        ({"tower_devices": "cpu:2"}, 4, ["CPU:2"]),
        ({"tower_devices": "cpu:0,cpu:1", "towers": 2}, 0, ["CPU:0", "CPU:1"]),
    ],
)
def test_towers_are_those_asked_for(fields, num_gpus, towers):
    assert of(num_gpus, **fields).devices == tuple(LOCAL + name for name in towers)


@pytest.mark.parametrize(
    "fields, num_gpus, message",
    [
        ({"towers": 3}, 2, "towers=3 needs gpu:2, but the visible ones are gpu:0 to gpu:1; ask for others, as"),
        ({"tower_devices": "gpu:0"}, 0, "tower_devices=gpu:0 needs gpu:0, but no GPU is visible; ask"),
        ({"tower_devices": "cpu:0", "towers": 2}, 0, "towers=2 but tower_devices names 1; give one of the two"),
    ],
)
def test_devices_that_do_not_exist_are_refused(fields, num_gpus, message):
    with pytest.raises(UsageError, match=message):
        of(num_gpus, **fields)


def test_the_host_needs_a_cpu_device_and_so_does_every_index_up_to_the_last():
    assert of(2).num_cpu_devices == 1
    assert of(towers=4).num_cpu_devices == 4
    assert of(tower_devices="cpu:5").num_cpu_devices == 6


@pytest.mark.parametrize("grad_shards", [8, 24])
@pytest.mark.parametrize("towers", [1, 2, 4, 8])
def test_every_shard_is_one_towers_and_towers_follow_in_order(towers, grad_shards):
    parts = [of(towers=towers).shards_of(tower, grad_shards) for tower in range(towers)]
    assert [shard for part in parts for shard in part] == list(range(grad_shards))
    assert {len(part) for part in parts} == {grad_shards // towers}


def test_shards_that_do_not_split_are_refused_with_the_counts_that_do():
    of(towers=3).check_shards(12)
    with pytest.raises(UsageError, match=r"12 shards do not split over 5 towers; use 1, 2, 3, 4, 6, 12 towers, or"):
        of(towers=5).check_shards(12)
    with pytest.raises(UsageError, match="4 shards do not split over 8 towers; use 1, 2, 4 towers"):
        of(towers=8).check_shards(4)
