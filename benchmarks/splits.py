"""Training and test pictures in a file, for those that cannot read the source: python -m benchmarks.splits FILE FLAGS.

FLAGS are those of the pipeline that name the data, as --source=folder:DIR.
"""

import sys

import numpy as np

from pipeline import config as configuration
from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.process.exits import exit_with
from pipeline.process.startup import import_tensorflow


def main(file: str, flags: list[str]) -> None:
    """Writes images and labels, test_images and test_labels: [n, height, width, channels] uint8 and [n] int32."""
    import_tensorflow()
    import tensorflow as tf

    from benchmarks.examples import whole
    from pipeline import sources

    given = (flag.removeprefix("--").split("=", 1) for flag in flags)
    config = Config(**{name: configuration.parse_value(name, value) for name, value in given})
    config.validate()
    with tf.device("/cpu:0"):
        splits = sources.open_splits(config)
        (images, labels), (test_images, test_labels) = whole(splits.train), whole(splits.test)
    np.savez(file, images=images, labels=labels, test_images=test_images, test_labels=test_labels)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2:])
    except PipelineError as error:
        exit_with(error)
