import contextlib

import pytest

from pipeline.config import Config
from pipeline.engine import reduce, topology
from pipeline.engine.topology import Topology, Workers
from pipeline.errors import UsageError

LOCAL = "/job:localhost/replica:0/task:0/device:"


def of(num_gpus: int = 0, **fields) -> Topology:
    return topology.from_config(Config(**fields), num_gpus)


@pytest.mark.parametrize(
    "fields, num_gpus, towers",
    [
        ({}, 0, ["CPU:0"]),
        ({}, 2, ["GPU:0", "GPU:1"]),
        ({"towers": 3}, 0, ["CPU:0", "CPU:1", "CPU:2"]),
        ({"towers": 1}, 2, ["GPU:0"]),
        ({"logical_gpus": 2}, 1, ["GPU:0", "GPU:1"]),
        ({"logical_gpus": 2}, 0, ["CPU:0"]),
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


@pytest.mark.parametrize(
    "fields, num_gpus, exact",
    [({}, 0, True), ({}, 1, True), ({"deterministic": False}, 1, False), ({"deterministic": False}, 0, True)],
)
def test_gpus_are_exact_by_deterministic_operations_and_cpus_always(fields, num_gpus, exact):
    assert of(num_gpus, **fields).is_exact(Config(**fields)) is exact


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


# --- several workers ---


def of_workers(count: int, index: int = 0, towers: int = 1) -> Topology:
    addresses = tuple(f"h{k}:9000" for k in range(count))
    return topology.from_config(Config(towers=towers), 0, Workers(addresses, index))


def test_a_worker_names_its_devices_as_its_own():
    ours = of_workers(3, index=2, towers=2)
    assert ours.devices == tuple(f"/job:worker/replica:0/task:2/device:CPU:{k}" for k in (0, 1))
    assert ours.host == "/job:worker/replica:0/task:2/device:CPU:0"
    assert (ours.num_towers, ours.total_towers, ours.rank(1)) == (2, 6, 5)


@pytest.mark.parametrize("workers, towers", [(1, 4), (2, 2), (4, 1), (3, 4)])
def test_every_shard_is_one_towers_of_one_worker_and_they_follow_in_order(workers, towers):
    topologies = [of_workers(workers, index, towers) for index in range(workers)]
    parts = [ours.shards_of(tower, 24) for ours in topologies for tower in range(towers)]
    assert [shard for part in parts for shard in part] == list(range(24))
    assert {len(part) for part in parts} == {24 // (workers * towers)}


def bracketed(leaves: list[str]) -> str:
    return reduce.tree(leaves, lambda left, right: f"({left}+{right})")


def same_tree(shards: int, workers: int) -> bool:
    """Whether workers that each sum their own shards, and then over workers, add as the tree over all shards does."""
    leaves, each = [str(k) for k in range(shards)], shards // workers
    parts = [bracketed(leaves[k : k + each]) for k in range(0, shards, each)]
    return bracketed(parts) == bracketed(leaves)


@pytest.mark.parametrize("shards", range(1, 49))
def test_the_exact_all_reduce_takes_just_those_workers_whose_sums_are_nodes_of_the_tree(shards):
    for workers in range(1, shards + 1):
        if shards % workers == 0 and same_tree(shards, workers):
            of_workers(workers).check_shards(shards)
        else:
            with pytest.raises(UsageError):
                of_workers(workers).check_shards(shards)
        if shards % workers == 0:
            of_workers(workers).check_shards(shards, all_reduce="fast")


def test_workers_whose_sums_are_no_nodes_are_refused_with_the_counts_that_fit():
    with pytest.raises(UsageError, match="12 shards over 2 workers are 6 a worker; the exact all-reduce needs a "):
        of_workers(2).check_shards(12)
    with pytest.raises(UsageError, match="a power of two; use 1, 3, 6, 12 workers, or --all_reduce=fast"):
        of_workers(2).check_shards(12)
    with pytest.raises(UsageError, match="a power of two; use 1, 3, 6 workers, or --all_reduce=fast"):
        of_workers(2, towers=2).check_shards(12)


def test_shards_that_do_not_split_over_all_towers_are_refused():
    with pytest.raises(
        UsageError, match=r"6 shards do not split over 4 towers \(2 workers with 2 each\); use 1, 3 workers"
    ):
        of_workers(2, towers=2).check_shards(6)
    with pytest.raises(UsageError, match=r"4 shards do not split over 6 towers .*; use 1, 2, 4 towers, or another"):
        of_workers(2, towers=3).check_shards(4)


@pytest.mark.parametrize("all_reduce", ["exact", "fast"])
@pytest.mark.parametrize("shards, workers, towers", [(24, 5, 1), (24, 5, 2), (40, 3, 4)])
def test_a_refusal_names_just_the_numbers_of_workers_that_are_taken(shards, workers, towers, all_reduce):
    taken = []
    for count in range(1, shards + 1):
        with contextlib.suppress(UsageError):
            of_workers(count, towers=towers).check_shards(shards, all_reduce)
            taken.append(count)
    with pytest.raises(UsageError, match=f"; use {', '.join(map(str, taken))} workers, or"):
        of_workers(workers, towers=towers).check_shards(shards, all_reduce)
