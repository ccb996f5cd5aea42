"""TensorBoard summaries: points in charts, histograms counted quickly, and pictures."""

import io

import numpy as np
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.plugins.histogram import metadata as histograms
from tensorboard.plugins.image import metadata as images
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.util.tensor_util import make_tensor_proto

# Charts of a group share a row, and groups stand in the order of their names.
_GROUPS = {
    "accuracy": "curves",
    "loss": "curves",
    "gradient_norm": "optimization",
    "learning_rate": "optimization",
    "images_per_second": "speed",
    "restarts": "speed",
}
BUCKETS = 30  # TensorBoard's own default


def chart(name: str) -> str:
    """The tag of the chart in which a number of this name is shown."""
    return f"{_GROUPS[name]}/{name}" if name in _GROUPS else name


def scalar(name: str, value: float) -> Summary:
    """A point in a number's chart."""
    return scalar_pb(chart(name), value)


def histogram(tag: str, values: np.ndarray) -> Summary:
    """How the finite values of an array are distributed."""
    tensor = make_tensor_proto(buckets(values))
    return _summary(tag, tensor, histograms.create_summary_metadata(display_name=None, description=None))


def buckets(values: np.ndarray) -> np.ndarray:
    """The finite values counted in equal intervals: [BUCKETS, 3] float64, rows (left edge, right edge, count).

    Where all are equal, the last bucket holds them and all edges are that value; where none is finite, all is 0: both
    as in TensorBoard's own summary. That one counts with numpy.histogram, which looks twice at every value to be right
    about those at an edge; here they may fall on either side of it.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return np.zeros([BUCKETS, 3])
    least, most = finite.min(), finite.max()
    share = (finite - least) / (most - least) if most > least else np.ones_like(finite)
    numbers = np.minimum(share * BUCKETS, BUCKETS - 1).astype(np.uint8)
    edges = np.linspace(least, most, BUCKETS + 1)
    return np.stack([edges[:-1], edges[1:], np.bincount(numbers, minlength=BUCKETS)], axis=1)


def picture(tag: str, image: Image.Image) -> Summary:
    """A picture, as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    tensor = make_tensor_proto([str(image.width).encode(), str(image.height).encode(), file.getvalue()])
    return _summary(tag, tensor, images.create_summary_metadata(display_name=None, description=None))


def _summary(tag: str, tensor: TensorProto, metadata) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, tensor=tensor, metadata=metadata)])
