"""The model of cost: its networks are the real ones, its steps are right by hand, and what grows too fast is named."""

import dataclasses
import json
import math

import pytest

from benchmarks.cost import collectives, hosts, job, measure, networks, scenarios, tables
from benchmarks.cost.collectives import Traffic
from benchmarks.cost.hosts import Around, Host, Link
from benchmarks.cost.job import Size
from benchmarks.cost.networks import CONVOLUTIONAL, RESNET50, Layer, Network
from benchmarks.cost.picture import picture
from benchmarks.cost.step import Program, efficiency, step
from pipeline.models import classic, residual
from pipeline.models.variables import statistics_of
from pipeline.workers import gradient_sum

FOUND = {
    "hop_s": 1e-5,
    "message_s": 1e-4,
    "byte_s": 1e-9,
    "handled_byte_s": 2e-10,
    "cores": 2,
    "crowding": 1.25,
    "queue_s": 2e-3,
}
FOUND |= {"example_s": 3e-4, "update_s": 0.01}


@pytest.mark.parametrize(
    ("network", "model"),
    [
        (CONVOLUTIONAL, lambda: classic.convolutional((28, 28, 1), 10)),
        (RESNET50, lambda: residual.resnet50((224, 224, 3), 1000)),
    ],
    ids=["convolutional", "resnet50"],
)
def test_the_tensors_are_those_of_the_network(network, model):
    made = model()
    real = sorted(math.prod(variable.shape) for variable in made.trainable_variables)
    assert sorted(size for layer in network.layers for size in layer.tensors) == real
    assert network.statistics == sum(math.prod(variable.shape) for variable in statistics_of(made))
    assert networks.BUCKET == gradient_sum.BUCKET


@pytest.mark.parametrize("network", [CONVOLUTIONAL, RESNET50])
def test_buckets_hold_all_elements_in_the_order_of_the_backward_pass(network):
    buckets = network.buckets()
    assert sum(bucket.elements for bucket in buckets) == network.elements + network.statistics + 3
    ready = [bucket.ready for bucket in buckets]
    assert ready == sorted(ready) and ready[0] > 1 / 3 and ready[-1] == 1.0


def test_what_a_worker_sends_by_hand():
    assert collectives.exact(1280, 4) == Traffic(hops=4, messages=4, sent=6 * 4 * 320, handled=4 * 1280)
    assert collectives.exact(1152, 12) == Traffic(hops=2 + 2 + 3, messages=8, sent=22 * 4 * 96, handled=4 * 1152)
    assert collectives.at_once(1280, 4) == Traffic(hops=1 + 3, messages=6, sent=6 * 4 * 320, handled=4 * 1280)
    assert collectives.at_once(1440, 3) == collectives.exact(1440, 3)
    assert collectives.ring(1280, 4) == Traffic(hops=6, messages=6, sent=6 * 4 * 320, handled=0)
    assert collectives.exact(1280, 2) == collectives.ring(1280, 2)
    assert {algorithm(1280, 1).sent for algorithm in collectives.WAYS.values()} == {0}


# Two tensors of 2^20 elements: that of the second layer is there after 2/3 of the passes, the first layer's at the end.
TWO = Network("two", (Layer((1 << 20,), 100), Layer((1 << 20,), 100)), 0)
SENT = 4 * (1 << 20)  # bytes of a tensor; two workers send as many each


def program(passes_s: float, update_s: float = 0.0) -> Program:
    return Program(TWO, example_s=passes_s / 10, update_s=update_s, tower_batch=10)


def test_a_step_of_two_workers_by_hand():
    host = Host("", Link(hop_s=0.0, bytes_per_s=SENT))  # a second for each tensor
    found = step(program(6.0, update_s=0.5), host, 2, collectives.ring)
    assert found.seconds == pytest.approx(6 + 1 + 0.5, rel=1e-3)  # the first one's second passes behind the passes
    assert found.waiting.sent == pytest.approx(1.0, rel=1e-3) and sum(found.waiting) == found.waiting.sent
    assert found.images_per_s == 20 / found.seconds
    late = step(program(1.5), host, 2, collectives.ring)  # there after 1 s; its second ends after the passes
    assert late.seconds == pytest.approx(1.0 + 1 + 1, rel=1e-3)


def test_a_sum_that_takes_the_processor_hides_behind_nothing():
    host = Host("", Link(hop_s=0.0, byte_s=1 / SENT))
    assert step(program(6.0), host, 2, collectives.ring).seconds == pytest.approx(6 + 2, rel=1e-3)
    shared = dataclasses.replace(host, cores=1, crowding=1.5)  # two workers on one core
    assert step(program(6.0), shared, 2, collectives.ring).seconds == pytest.approx(2 * 1.5 * (6 + 2), rel=1e-3)


def test_workers_that_share_a_core_wait_for_each_others_passes():
    host = Host("", Link(hop_s=0.0, bytes_per_s=SENT), cores=1)
    assert step(program(6.0), host, 2, collectives.ring).seconds == pytest.approx(2 * 6 + 1 + 1, rel=1e-3)
    queued = dataclasses.replace(host, queue_s=0.25)  # three buckets, two hops each, one other worker
    assert step(program(6.0), queued, 2, collectives.ring).seconds == pytest.approx(2 * 6 + 1 + 1 + 6 * 0.25, rel=1e-3)


def test_towers_add_in_a_tree_and_get_copies():
    host = Host("", Link(hop_s=0.0), towers=8, inside=Link(hop_s=0.0, bytes_per_s=SENT))
    found = step(program(6.0), host, 1, collectives.exact)
    assert found.towers == pytest.approx(3 + 7 * 2, rel=1e-3)  # the last tensor's tree; seven copies of both tensors
    assert found.examples == 80


def test_without_a_price_the_speed_is_linear():
    for way in collectives.WAYS.values():
        assert efficiency(program(1.0), Host("", Link(hop_s=0.0)), 64, way) == pytest.approx(1.0)
        assert efficiency(program(1.0), Host("", Link(hop_s=0.01)), 64, way) < 0.9


def size(workers: int, **flags) -> Size:
    return Size(Program(RESNET50, 1e-3, 0.0, 256), hosts.H100, Around(**flags), workers)


def test_growth_is_as_it_is_said_and_what_grows_faster_than_w_log_w_has_a_proposal():
    few, many = (job.items(size(workers)) for workers in (1 << 20, 1 << 21))
    few, many = ([item for item in items if item.event != "step"] for items in (few, many))
    logarithm = math.log2(21 / 20)
    growths = {"1": 0, "W": 1, "W log W": 1 + logarithm, "W log^2 W": 1 + 2 * logarithm, "W^2": 2}
    growths |= {"W^2 log W": 2 + logarithm, "W^2 log^2 W": 2 + 2 * logarithm}
    for before, after in zip(few, many, strict=True):
        doublings = math.log2(after.seconds / before.seconds)  # of one worker's work
        assert doublings == pytest.approx(max(0, growths[after.growth] - (not after.by_one)), abs=0.05), after
        assert bool(after.proposal) == (growths[after.growth] >= 2), after


def test_a_worker_sends_two_messages_more_for_twice_as_many_workers_and_waits_for_as_many():
    few, many = collectives.exact(1 << 20, 512), collectives.exact(1 << 20, 1024)
    assert (many.messages - few.messages, many.hops - few.hops) == (2, 2)
    [item] = [item for item in job.items(size(1024)) if item.event == "step"]
    assert item.growth == "W log W" and f"{20 * len(RESNET50.buckets())} messages" in item.what


def test_events_are_the_sums_of_what_the_training_waits_for():
    found, cost = job.items(size(64)), job.events(size(64, failures_per_gpu_hour=1 / 512))
    waited = [item.seconds for item in found if item.event == "save" and not item.beside]
    assert cost.save == pytest.approx(sum(waited)) and len(waited) == 3
    assert cost.failures_apart == pytest.approx(3600)
    assert cost.interval == pytest.approx(math.sqrt(2 * cost.save * 3600))
    assert cost.recovery > cost.start > Around().process_s


def figures(link: str, speeds: dict[tuple[str, int], float]) -> dict:
    layouts = [
        {"program": p, "num_workers": w, "worker_cores": 1, "global_batch": 64 * w, "outcomes": [{"images_per_s": s}]}
        for (p, w), s in speeds.items()
    ]
    return {"options": {"link": link}, "layouts": layouts}


def test_measured_layouts_stand_beside_what_is_predicted_of_their_own_one_worker():
    told = figures("8mbit", {("ours", 1): 1000.0, ("ours", 4): 10.0, ("ours, fast", 4): 9.0, ("Another", 4): 8.0})
    passes_s = 64 / 1000 - FOUND["update_s"]
    alone = Program(CONVOLUTIONAL, passes_s / 64, FOUND["update_s"], 64)
    here = hosts.here(FOUND, 1e6 * tables.PAYLOAD)
    expected = [step(alone, here, 4, way).images_per_s for way in (collectives.exact, collectives.ring)]
    names = ["ours, 4 workers, 8mbit", "ours, fast, 4 workers, 8mbit"]
    assert tables.beside(FOUND, told) == list(zip(names, (10.0, 9.0), map(pytest.approx, expected), strict=True))


def test_the_kept_parameters_give_tables_and_a_picture():
    kept = hosts.measured()
    jobs = scenarios.scenarios(kept)
    for one in jobs:
        assert len(tables.steps(one).splitlines()) == 3 + len(scenarios.WORKERS)
        assert "1,024" in tables.events(one) and "W^2" in tables.items(one, 1024)
    assert picture(jobs).count("<path") == len(jobs) * len(collectives.WAYS)


def test_parts_of_the_measurement_are_parameters_of_the_model():
    found = json.loads(json.dumps(measure.words() | measure.rates()))
    assert {field.name for field in dataclasses.fields(hosts.around(found))} >= set(found)
    assert min(found.values()) > 0 and measure.handled_byte_s() > 0
