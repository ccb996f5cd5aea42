"""Filters that whiten windows of photographs: constants, from NumPy alone."""

import numpy as np

# Patterns of 2 x 2 pixels (mean, left - right, upper - lower, diagonal) and of colours (brightness, red - blue,
# green - magenta). Their products are nearly the principal components of photographs.
_PATTERNS = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
_COLOURS = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
# Standard deviations of the products, of pixels in [0, 1]: of 3,000 of CIFAR-10's training pictures, as JPEG files.
_DEVIATIONS = np.array(
    [[0.790, 0.223, 0.103], [0.146, 0.0156, 0.0097], [0.158, 0.0188, 0.0111], [0.0583, 0.0036, 0.0027]]
)
_NOISE = 0.0056  # the deviation of noise: what varies less is not blown up to unit variance


def filters(channels: int) -> np.ndarray:
    """[2, 2, channels, 8 * channels] float32: each component, then the negative of each. channels: 1 or 3."""
    colours = _COLOURS if channels == 3 else np.ones([1, 1])
    scale = 1 / np.sqrt(_DEVIATIONS[:, :channels] ** 2 + _NOISE**2)
    components = np.einsum("pi,cj,pc->ijpc", _PATTERNS, colours, scale).reshape(2, 2, channels, 4 * channels)
    return np.concatenate([components, -components], axis=-1).astype(np.float32)
