"""Checks of what happens at the limits: numbers that are not finite, memory that is short; and of the speed."""

from collections.abc import Iterator
from typing import Any

from pipeline.errors import ExitCode
from tests.gpu import processes
from tests.gpu.bench import NOT_BUILT, OK, SHOWN, SKIPPED, WRONG, Bench, Row, judged, missing
from tests.gpu.processes import Ended

ALONE = 0  # places: the whole machine


def one_line(ended: Ended, code: ExitCode, *words: str) -> str:
    """The verdict on a process that should end with this code and one line on stderr, which has these words."""
    line = ended.stderr.strip()
    return judged(ended.code == code and "\n" not in line and all(word in line for word in words))


def told(ended: Ended) -> str:
    """The exit code and the end of stderr, as one line."""
    return f"exit {ended.code}: {' | '.join(ended.stderr.strip().splitlines())[-400:]}"


def diverged(bench: Bench) -> Iterator[Row]:
    """A step that is not finite is not applied."""
    run_dir = bench.run_dir()
    flags: dict[str, Any] = {"model": "dense", "optimizer": "sgd", "learning_rate": 1e38, "checkpoint_every": 1}
    ended = bench.train(run_dir, **flags).result()
    yield Row("a rate of 1e38", told(ended), one_line(ended, ExitCode.DIVERGED, "diverged: at step", "--learning_rate"))
    newest = bench.process("-m", "tests.gpu.finite", str(run_dir), CUDA_VISIBLE_DEVICES="-1").result()
    fine = newest.result.get("not finite") == []
    yield Row("the newest checkpoint is finite", f"{newest.result} {newest.trouble}", judged(fine))


def out_of_memory(bench: Bench) -> Iterator[Row]:
    """A batch that does not fit is answered by one line."""
    if not bench.on_gpu:
        yield Row("too large a batch", "only on a GPU", SKIPPED)
        return
    flags = {"model": "resnet50", "image_size": bench.sizes.image_size}
    limit = {"logical_gpus": 1, "gpu_memory_mib": 2048}
    small = None if missing(**limit) else bench.train(global_batch=256, **limit, **flags)
    whole = bench.train(global_batch=2048, need=ALONE, **flags)
    if small is None:
        yield Row("a batch of 256 in 2 GiB", " ".join(missing(**limit)), NOT_BUILT)
    for what, future in {"a batch of 256 in 2 GiB": small, "a batch of 2048 on the whole GPU": whole}.items():
        if future is not None:
            verdict = one_line(future.result(), ExitCode.USAGE, "memory", "--global_batch")
            yield Row(what, f"{told(future.result())} ({future.result().seconds:.0f} s)", verdict)


def memory(bench: Bench) -> Iterator[Row]:
    """The more shards, the less memory, where a GPU computes one after the other."""
    flags = {"source": "fake:1000", "model": "resnet50", "image_size": bench.sizes.image_size, "run_dir": "nowhere"}
    flags |= {"global_batch": bench.sizes.large_batch, "decay_steps": 9, "intra_op_threads": 2}
    runs, peaks = {}, {}
    for shards in bench.sizes.shards:
        words = processes.flags_of(flags | {"grad_shards": shards})
        runs[shards] = bench.process("-m", "tests.gpu.memory", *words, need=2)
    for shards, future in runs.items():
        ended = future.result()
        peaks[shards] = ended.result.get("peak_mib") or ended.peak_mib
        seen = f"{peaks[shards]:,} MiB at most, {ended.result.get('seconds')} s a step, {ended.seconds:.0f} s in all"
        what = f"resnet50, batch {flags['global_batch']}, {shards} shards"
        yield Row(what, told(ended) if ended.code else seen, WRONG if ended.code else SHOWN)
    if bench.on_gpu:
        most, *_, least = peaks.values()
        yield Row("the most shards need the least", f"{least / most:.0%} of one shard's", judged(least < most))


def speed(bench: Bench) -> Iterator[Row]:
    """What determinism costs, and what compilation brings."""
    sizes = bench.sizes
    small = {"global_batch": sizes.timed_batch, "steps": sizes.timed_steps, "source": "fake:6000"}
    large = {"global_batch": sizes.timed_resnet_batch, "steps": sizes.timed_resnet_steps, "source": "fake:1000"}
    large |= {"model": "resnet50", "image_size": sizes.image_size, "precision": "bfloat16"}
    loose, jit = {"deterministic": False}, {"jit": True}
    for name, flags, own in (
        ("convolutional", small, {}),
        ("convolutional", small, loose),
        ("convolutional", small, jit),
        ("resnet50 bfloat16", large, {}),
        ("resnet50 bfloat16", large, loose),
        ("convolutional", small, loose | jit),
        ("convolutional", small, {"precision": "tf32"}),
        ("convolutional", small, {"precision": "bfloat16"}),
        ("resnet50 bfloat16", large, jit),
        ("resnet50 bfloat16", large, loose | jit),
    ):
        what = " ".join([name, *processes.flags_of(own)])
        if lacking := missing(**own):
            yield Row(what, " ".join(lacking), NOT_BUILT)
            continue
        flags = {"intra_op_threads": 0, **flags, **own}
        ended = bench.train(need=ALONE, **flags).result()
        parts = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in ended.result.get("seconds", {}).items())
        seen = f"{ended.result.get('images_per_second', 0):,.0f} images/s ({parts})"
        yield Row(what, told(ended) if ended.code else seen, WRONG if ended.code else SHOWN)


def mnist(bench: Bench) -> Iterator[Row]:
    """How long MNIST takes to 99 %."""
    if not bench.machine.mnist:
        yield Row("configs/mnist_fast.flags", "no --mnist=DIR", SKIPPED)
        return
    words = [
        "--flagfile=configs/mnist_fast.flags",
        f"--source=idx:{bench.machine.mnist}",
        f"--run_dir={bench.run_dir()}",
    ]
    ended = bench.process("-m", "pipeline.train", *words, need=ALONE).result()
    accuracy = ended.result.get("test_accuracy", 0)
    seen = f"{accuracy:.2%} in {ended.result.get('wall_seconds')} s, {ended.result.get('images_per_second')} images/s"
    yield Row("configs/mnist_fast.flags", told(ended) if ended.code else seen, OK if accuracy > 0.99 else WRONG)
