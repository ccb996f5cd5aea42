"""Measures ways to compute parts of a step, each alone: python -m benchmarks.kernels [--precision=bfloat16].

Of `convolutional` the dense layer of 3136 x 1024 and the second convolution, 5 x 5 from 32 to 64 channels on 14 x 14
pixels; of `whitened` the first GELU, of 31 x 31 x 24 numbers. What `pipeline.engine.gradients` and
`pipeline.models.gelu` choose, and why, can be read off the table.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Mapping

import tensorflow as tf

from benchmarks.tables import columns, figure
from pipeline.models import gelu

SIDE, SIZE, CHANNELS, FILTERS = 14, 5, 32, 64
INPUTS, UNITS = 3136, 1024
ACTIVATED = 31, 31, 24

Ways = Mapping[tuple[str, str], Callable[[], tf.Tensor]]  # by what is computed, and how


def ways(batch: int, dtype: tf.DType) -> Ways:
    """All kernels, on random numbers."""

    def draw(*shape: int) -> tf.Tensor:
        return tf.cast(tf.random.stateless_normal(shape, [1, 2]), dtype)

    return _dense_ways(draw, batch) | _convolution_ways(draw, batch) | _gelu_ways(draw, batch)


def _dense_ways(draw: Callable[..., tf.Tensor], batch: int) -> dict:
    x, weights, gradient = draw(batch, INPUTS), draw(INPUTS, UNITS), draw(batch, UNITS)
    dense, by_examples, by_weights = "dense layer", "dense, gradient by examples", "dense, gradient by weights"
    pixels, pixels_gradient = x[:, tf.newaxis, tf.newaxis], gradient[:, tf.newaxis, tf.newaxis]
    kernel, one = weights[tf.newaxis, tf.newaxis], {"strides": [1] * 4, "padding": "VALID"}
    return {
        (dense, "MatMul"): lambda: x @ weights,
        (by_examples, "MatMul"): lambda: tf.matmul(gradient, weights, transpose_b=True),
        (by_examples, "BatchMatMul"): lambda: tf.matmul(gradient[tf.newaxis], weights[tf.newaxis], transpose_b=True),
        (by_examples, "MatMul, transposed"): lambda: tf.transpose(tf.matmul(weights, gradient, transpose_b=True)),
        (by_examples, "1 x 1 convolution"): lambda: tf.raw_ops.Conv2DBackpropInput(
            input_sizes=pixels.shape, filter=kernel, out_backprop=pixels_gradient, **one
        ),
        (by_weights, "MatMul"): lambda: tf.matmul(x, gradient, transpose_a=True),
        (by_weights, "BatchMatMul"): lambda: tf.matmul(x[tf.newaxis], gradient[tf.newaxis], transpose_a=True),
        (by_weights, "1 x 1 convolution"): lambda: tf.raw_ops.Conv2DBackpropFilter(
            input=pixels, filter_sizes=kernel.shape, out_backprop=pixels_gradient, **one
        ),
    }


def _convolution_ways(draw: Callable[..., tf.Tensor], batch: int) -> dict:
    x, gradient = draw(batch, SIDE, SIDE, CHANNELS), draw(batch, SIDE, SIDE, FILTERS)
    kernel = draw(SIZE, SIZE, CHANNELS, FILTERS)
    same = {"strides": [1] * 4, "padding": "SAME"}
    forward, by_images, by_kernel = "convolution", "convolution, gradient by images", "convolution, gradient by kernel"

    def exchanged() -> tf.Tensor:
        found = tf.raw_ops.Conv2DBackpropFilter(
            input=gradient, filter_sizes=[SIZE, SIZE, FILTERS, CHANNELS], out_backprop=x, **same
        )
        return tf.transpose(tf.reverse(found, [0, 1]), [0, 1, 3, 2])

    def over_examples() -> tf.Tensor:
        """Exchanges the axes of channels and examples."""
        half = SIZE // 2
        padded = tf.pad(tf.transpose(x, [3, 1, 2, 0]), [[0, 0], [half, half], [half, half], [0, 0]])
        return tf.transpose(tf.nn.conv2d(padded, tf.transpose(gradient, [1, 2, 0, 3]), 1, "VALID"), [1, 2, 0, 3])

    return {
        (forward, "Conv2D"): lambda: tf.nn.conv2d(x, kernel, 1, "SAME"),
        (by_images, "Conv2DBackpropInput"): lambda: tf.raw_ops.Conv2DBackpropInput(
            input_sizes=x.shape, filter=kernel, out_backprop=gradient, **same
        ),
        (by_images, "Conv2D by the kernel turned round"): lambda: tf.nn.conv2d(
            gradient, tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2]), 1, "SAME"
        ),
        (by_kernel, "Conv2DBackpropFilter"): lambda: tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=kernel.shape, out_backprop=gradient, **same
        ),
        (by_kernel, "Conv2DBackpropFilter, roles exchanged"): exchanged,
        (by_kernel, "Conv2D over the examples"): over_examples,
    }


def _gelu_ways(draw: Callable[..., tf.Tensor], batch: int) -> dict:
    x, by_value = draw(batch, *ACTIVATED), draw(batch, *ACTIVATED)
    layer = gelu.Gelu(dtype=x.dtype.name)

    def by(wanted: bool) -> tf.Tensor:
        with gelu.by_xla(wanted):
            return layer(x)

    kinds = {"tf.nn.gelu": lambda: tf.nn.gelu(x), "erf": lambda: by(False), "XLA": lambda: by(True)}
    gradients = {how: functools.partial(_gradient, values, x, by_value) for how, values in kinds.items()}
    return {("GELU", how): way for how, way in kinds.items()} | {
        ("GELU, gradient", how): way for how, way in gradients.items()
    }


def _gradient(value: Callable[[], tf.Tensor], x: tf.Tensor, by_value: tf.Tensor) -> tf.Tensor:
    return tf.gradients(value(), x, by_value)[0]


def measured(ways: Ways, repeats: int, rounds: int) -> dict[tuple[str, str], list[float]]:
    """The milliseconds of each kernel, measured once in each round, in turn, after a round of warm-up."""
    loops = {name: _loop(way, repeats) for name, way in ways.items()}
    times: dict[tuple[str, str], list[float]] = {name: [] for name in loops}
    for _ in range(rounds + 1):
        for name, loop in loops.items():
            began = time.perf_counter()
            loop().numpy()
            times[name].append(1000 * (time.perf_counter() - began) / repeats)
    return {name: values[1:] for name, values in times.items()}


def _loop(way: Callable[[], tf.Tensor], repeats: int) -> Callable[[], tf.Tensor]:
    """A function that computes the kernel several times and uses every result, so that none is optimized away."""

    @tf.function(autograph=False)
    def loop() -> tf.Tensor:
        def body(i, total):
            return i + 1, total + tf.cast(tf.reshape(way(), [-1])[0], tf.float32)

        return tf.while_loop(lambda i, _: i < repeats, body, (0, 0.0), parallel_iterations=1)[1]

    return loop


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.kernels", description=__doc__.split(":")[0])
    parser.add_argument("--batches", default="50,100,512", help="default: 50,100,512")
    parser.add_argument("--precision", default="float32", help="float32 or bfloat16 (default: float32)")
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument("--images", type=int, default=3000, help="of a round, at least three batches (default: 3000)")
    options = parser.parse_args()
    batches = [int(word) for word in options.batches.split(",")]
    dtype = tf.as_dtype(options.precision)
    by_batch = [measured(ways(batch, dtype), max(3, options.images // batch), options.rounds) for batch in batches]
    rows = [[*name, *(figure(statistics.median(times[name])) for times in by_batch)] for name in by_batch[0]]
    print(f"{options.precision}, medians of {options.rounds} rounds")
    print(columns(["what", "by", *(f"ms at {batch}" for batch in batches)], rows))


if __name__ == "__main__":
    main()
