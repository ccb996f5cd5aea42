"""A split that lies in memory, decoded."""

import numpy as np
import tensorflow as tf

from pipeline.sources import images as pictures


class InMemory:
    """Images [n, height, width, channels] uint8 and labels [n], gathered by index."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...], name: str):
        self.class_names = class_names
        self.image_shape = (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
        self._name = name
        # Eager tensors, which a tf.data function captures; NumPy arrays would become constants of every graph.
        self._images, self._labels = tf.constant(images, tf.uint8), tf.constant(labels, tf.int32)

    def __len__(self) -> int:
        return len(self._labels)

    def fetch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(self._images, indices), tf.gather(self._labels, indices)

    def decode(self, raw: tf.Tensor, window: pictures.Window | None = None) -> tf.Tensor:
        return pictures.windows(raw, window, self.image_shape) if window else raw

    def where(self, index: int) -> str:
        return f"{self._name}: example {index}"
