"""TensorBoard summaries: points in charts, fast histograms, and pictures."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.plugins.histogram import metadata as histograms
from tensorboard.plugins.image import metadata as images
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.util.tensor_util import make_tensor_proto

from pipeline.metrics import names

# Charts of a group share a row, and groups stand in the order of their names.
_GROUPS = {
    "accuracy": "curves",
    "loss": "curves",
    "gradient_norm": "optimization",
    "learning_rate": "optimization",
    "images_per_second": "speed",
    "restarts": "speed",
    **dict.fromkeys((*names.BY_CLASS, names.CALIBRATION), "metrics"),
}
BUCKETS = 30  # TensorBoard's own default
BLOCK = 1 << 16  # values that are counted together


def chart(name: str) -> str:
    """The tag of the chart that shows the numbers of this name."""
    group = "metrics" if names.top_k(name) else _GROUPS.get(name)
    return f"{group}/{name}" if group else name


def scalar(name: str, value: float) -> Summary:
    """A point in a number's chart."""
    return scalar_pb(chart(name), value)


def histogram(tag: str, values: np.ndarray) -> Summary:
    """The distribution of an array's finite values."""
    tensor = make_tensor_proto(buckets(values))
    return _summary(tag, tensor, histograms.create_summary_metadata(display_name=None, description=None))


def buckets(values: np.ndarray) -> np.ndarray:
    """The finite values, counted in equal intervals: [BUCKETS, 3] float64, rows (left edge, right edge, count).

    Where all values are equal, the last bucket holds them and all edges are that value. Where none is finite, all is 0.
    Both are as in TensorBoard's own summary. TensorBoard counts with numpy.histogram, which looks at every value twice,
    to put those at an edge on the right side of it; here they may fall on either side.
    """
    counts = np.zeros(BUCKETS, np.int64)
    least, most = _range(values)
    if least > most:
        return np.zeros([BUCKETS, 3])
    for finite in _finite(values):
        share = (finite - least) / (most - least) if most > least else np.ones_like(finite)
        counts += np.bincount(np.minimum(share * BUCKETS, BUCKETS - 1).astype(np.uint8), minlength=BUCKETS)
    edges = np.linspace(least, most, BUCKETS + 1)
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


def _range(values: np.ndarray) -> tuple[float, float]:
    """The least and the most of the finite values; infinity and its negative where there is none."""
    parts = [(finite.min(), finite.max()) for finite in _finite(values) if finite.size]
    return min((least for least, _ in parts), default=np.inf), max((most for _, most in parts), default=-np.inf)


def _finite(values: np.ndarray) -> Iterator[np.ndarray]:
    """The finite values as float64, block by block: a whole large array in float64 would set the peak of memory."""
    flat = values.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        yield block[np.isfinite(block)].astype(np.float64)


def picture(tag: str, image: Image.Image) -> Summary:
    """A picture, as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    tensor = make_tensor_proto([str(image.width).encode(), str(image.height).encode(), file.getvalue()])
    return _summary(tag, tensor, images.create_summary_metadata(display_name=None, description=None))


def _summary(tag: str, tensor: TensorProto, metadata: SummaryMetadata) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, tensor=tensor, metadata=metadata)])
