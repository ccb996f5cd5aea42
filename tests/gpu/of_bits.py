"""Checks of what a training computes: that it can, and to which bits."""

import functools
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.models import REGISTRY
from pipeline.runs.run_directory import RunDirectory
from tests.gpu import processes
from tests.gpu.bench import NOT_BUILT, OK, SHOWN, SKIPPED, WRONG, Bench, Row, judged, missing

OTHER_PRECISIONS = ("bfloat16", "float16", "tf32")
# The largest difference of a parameter's float32 gradient on GPU and CPU, relative, in the norm. In networks with
# normalization, units at the edge of a ReLU decide: there, two sets of CPU kernels differ by up to 6e-3 too.
LARGEST_DIFFERENCE = {"convolutional": 1e-3, "cnn_bn": 1e-2, "resnet20": 2e-2}


def there(bench: Bench) -> Iterator[Row]:
    """The GPU, its driver, and what TensorFlow was built for."""
    if bench.on_gpu:
        asked = ("name", "driver_version", "memory.total", "memory.used", "compute_cap")
        smi = ["nvidia-smi", f"--query-gpu={','.join(asked)}", "--format=csv,noheader"]
        line = subprocess.run(smi, capture_output=True, text=True).stdout if shutil.which(smi[0]) else "not there"
        yield Row("nvidia-smi", line.strip(), SHOWN)
    seen = bench.process("-m", "tests.gpu.facts").result()
    facts = seen.result
    for name, value in facts.items():
        yield Row(name, json.dumps(value), SHOWN)
    count = len(facts.get("gpus", []))
    yield Row("physical GPUs", f"{count} {seen.trouble}", judged(count > 0 or not bench.on_gpu))
    if bench.on_gpu:
        gpus = facts.get("conditions", {}).get("gpus")
        yield Row("the GPU's model, for manifests", repr(gpus), judged(bool(gpus)))


def models(bench: Bench) -> Iterator[Row]:
    """Every model trains, and some in every precision."""
    runs = {}
    for name in (*("convolutional", "cnn_bn"), *sorted(REGISTRY, key=lambda name: "resnet" in name)):
        large = {"image_size": bench.sizes.image_size, "global_batch": 16, "steps": 6} if name == "resnet50" else {}
        runs[f"{name} float32"] = bench.trained(model=name, precision="float32", **large)
    for name, precision in itertools.product(("convolutional", "cnn_bn", "resnet20"), OTHER_PRECISIONS):
        if lacking := missing(precision=precision):
            yield Row(f"{name} {precision}", " ".join(lacking), NOT_BUILT)
        else:
            runs[f"{name} {precision}"] = bench.trained(model=name, precision=precision)
    for what, future in runs.items():
        yield bench.finite(what, future)
    told = {
        line for future in runs.values() if not future.result().code for line in future.result().stderr.splitlines()
    }
    yield Row("nothing on stderr of runs that end well", " | ".join(sorted(told))[:400], judged(not told))


def twice(bench: Bench) -> Iterator[Row]:
    """The same command gives the same parameters, twice."""
    pairs = {}
    cases = itertools.product(({}, {"jit": True}), ("float32", *OTHER_PRECISIONS), ("convolutional", "cnn_bn"))
    for jit, precision, model in (*cases, ({}, "float32", "resnet20")):
        what = f"{model} {precision}{' --jit' if jit else ''}"
        if lacking := missing(precision=precision, **jit):
            yield Row(what, " ".join(lacking), NOT_BUILT)
        else:
            flags = {"model": model, "precision": precision, **jit}
            pairs[what] = {f"run {time}": bench.trained(time, **flags) for time in (1, 2)}
    loose = {"model": "convolutional", "precision": "float32", "deterministic": False}
    if lacking := missing(**loose):
        yield Row("--deterministic=false", " ".join(lacking), NOT_BUILT)
    else:
        pairs["--deterministic=false"] = {f"run {time}": bench.trained(time, **loose) for time in (1, 2)}
    for what, runs in pairs.items():
        row = bench.same(what, runs)
        failed = any(future.result().code for future in runs.values())
        yield row._replace(verdict=SHOWN) if what.endswith("false") and not failed else row


def towers(bench: Bench) -> Iterator[Row]:
    """Any number of towers, with their variables anywhere, computes the same parameters."""
    if bench.on_gpu and (lacking := missing(logical_gpus=4, gpu_memory_mib=1)):
        yield Row("logical GPUs", " ".join(lacking), NOT_BUILT)
        return
    every = [*itertools.product((1, 2, 4), ("replicated", "cpu", "first"))]
    few = [(1, "replicated"), (2, "replicated"), (4, "replicated"), (4, "cpu"), (4, "first")]
    groups = {}
    for jit, precision, model, homes in (
        ({}, "float32", "convolutional", every),
        ({}, "bfloat16", "convolutional", few),
        ({"jit": True}, "float32", "convolutional", few),
        ({"jit": True}, "bfloat16", "convolutional", few),
        ({}, "float32", "cnn_bn", few[::2]),
    ):
        what = f"{model} {precision}{' --jit' if jit else ''}"
        if lacking := missing(**jit):
            yield Row(what, " ".join(lacking), NOT_BUILT)
            continue
        flags = {"model": model, "precision": precision, "grad_shards": 4, **jit}
        groups[what] = {
            f"{count} {home}": bench.trained(**flags, variables=home, **bench.towers(count)) for count, home in homes
        }
        if bench.on_gpu:
            groups[what]["1 whole GPU"] = bench.trained(**flags)
    for what, runs in groups.items():
        yield bench.same(f"{what}: towers and variables", runs)


def killed(bench: Bench) -> Iterator[Row]:
    """A run that is killed, and goes on with other towers, ends as one that is not."""
    if bench.on_gpu and (lacking := missing(logical_gpus=4, gpu_memory_mib=1)):
        yield Row("logical GPUs", " ".join(lacking), NOT_BUILT)
        return
    flags = {"steps": bench.sizes.kill_steps, "grad_shards": 4}
    straight = bench.trained(**flags)
    run, reached = RunDirectory(bench.run_dir()), 0

    def saved() -> int:
        names = [path.name for path in run.checkpoints.glob("ckpt-*.manifest.json")]
        return max((int(re.findall(r"\d+", name)[0]) for name in names), default=0)

    for count in (4, 2):
        more = functools.partial(lambda before: saved() > before, reached)
        ended = bench.train(run.path, until=more, checkpoint_every=20, **flags, **bench.towers(count)).result()
        reached = saved()
        yield Row(f"killed on {count} towers", f"exit {ended.code}, after step {reached}", judged(ended.code == -9))
    last = bench.train(run.path, checkpoint_every=20, **flags, **bench.towers(1))
    resumed = next((line for line in last.result().lines if line.startswith("resumed at")), "not resumed")
    yield Row("goes on", resumed, judged(f"step {reached}," in resumed))
    yield bench.same("killed twice, and straight", {"straight": straight, "killed": last})


def workers(bench: Bench) -> Iterator[Row]:
    """Two workers, also with two towers each, compute what one computes."""
    flags = {"grad_shards": 4, "precision": "float32"}
    one = bench.trained(**flags)
    jobs = {"2 workers with 1 tower each": bench.workers(2, **flags)}
    if not bench.on_gpu or not missing(logical_gpus=2, gpu_memory_mib=1):
        jobs["2 workers with 2 towers each"] = bench.workers(2, **flags, **bench.towers(2, of=2))
    for what, job in jobs.items():
        ended = job.result()
        fine = not any(each.code for each in ended) and ended[0].sha256 == one.result().sha256
        seen = "; ".join(each.trouble or each.sha256[:16] for each in ended if each.code or each.lines)
        yield Row(what, f"{seen}; one worker {one.result().sha256[:16]}", judged(fine))


def moved(bench: Bench) -> Iterator[Row]:
    """A run that was begun on the CPU goes on on the GPU, and says so."""
    run = RunDirectory(bench.run_dir())
    elsewhere = {"CUDA_VISIBLE_DEVICES": "-1"} if bench.on_gpu else {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    begun = bench.train(run.path, changes=elsewhere).result()
    ended = bench.train(run.path, steps=2 * bench.sizes.steps).result()
    yield Row("begun elsewhere", begun.trouble or "ended well", judged(not begun.code))
    yield Row("gone on with here", ended.trouble or "ended well", judged(not ended.code))
    line = next((line for line in ended.lines if "other hardware" in line), "no line about other hardware")
    yield Row("the line", line, judged("other hardware (" in line))
    events = [event for event in run.history().events if event["event"] == "hardware"]
    yield Row("the event", json.dumps(events)[:300], judged(len(events) == 1))


def gradients(bench: Bench) -> Iterator[Row]:
    """GPU and CPU compute nearly the same gradients."""
    names = tuple(LARGEST_DIFFERENCE)
    flags = {key: value for key, value in bench.small().items() if key in ("source", "global_batch", "grad_shards")}

    def computed(precision: str, **changes: str) -> tuple[Path, object]:
        path = bench.run_dir().with_suffix(".npz")
        words = processes.flags_of(flags | {"precision": precision, "intra_op_threads": 2, "decay_steps": 9})
        return path, bench.process("-m", "tests.gpu.gradients", str(path), ",".join(names), *words, **changes)

    expected_at, expected = computed("float32", CUDA_VISIBLE_DEVICES="-1")
    others = {}
    for precision in ("float32", "tf32", "bfloat16"):
        if lacking := missing(precision=precision):
            yield Row(precision, " ".join(lacking), NOT_BUILT)
        else:
            others[precision] = computed(precision)
    for precision, (path, future) in others.items():
        if trouble := future.result().trouble or expected.result().trouble:
            yield Row(precision, trouble, WRONG)
            continue
        for name in names:
            worst, where = largest_difference(np.load(expected_at), np.load(path), name)
            verdict = judged(worst <= LARGEST_DIFFERENCE[name]) if precision == "float32" else SHOWN
            yield Row(f"{name} {precision}", f"largest relative difference {worst:.1e}, of {where}", verdict)


def largest_difference(expected: dict, found: dict, model: str) -> tuple[float, str]:
    """The norm of the difference of a gradient by the norm of the gradient, where it is largest, and its parameter.

    A difference that is not finite counts as the largest.
    """
    differences = {}
    for name in expected:
        if name.startswith(f"{model}:"):
            right, left = expected[name].astype(np.float64), found[name].astype(np.float64)
            difference = np.linalg.norm(left - right) / max(np.linalg.norm(right), 1e-30)
            differences[name.partition(":")[2]] = difference if np.isfinite(difference) else np.inf
    where = max(differences, key=differences.__getitem__)
    return float(differences[where]), where


def tf32(bench: Bench) -> Iterator[Row]:
    """On a GPU, float32 is not TensorFloat-32."""
    if not bench.on_gpu:
        yield Row("float32 is not tf32", "a CPU has none", SKIPPED)
    elif lacking := missing(precision="tf32"):
        yield Row("float32 is not tf32", " ".join(lacking), NOT_BUILT)
    else:
        left, right = (bench.trained(model="convolutional", precision=name).result() for name in ("float32", "tf32"))
        equal = left.sha256 == right.sha256
        seen = f"{left.sha256[:16]} and {right.sha256[:16]}"
        yield Row("float32 is not tf32", seen, WRONG if left.code or right.code else SHOWN if equal else OK)
