"""python -m pipeline.diagnosis.trial: imports TensorFlow, computes a little on the first GPU or the CPU, and says so.

It is a process of its own, since what is wrong here may end a process.
"""

import json
import time

from pipeline.process.startup import import_tensorflow


def main() -> None:
    """Prints, as JSON, the versions, the number of GPUs that TensorFlow sees, and the seconds of the import."""
    started = time.monotonic()
    import_tensorflow()
    seconds = time.monotonic() - started
    import keras
    import tensorflow as tf

    from pipeline.engine import devices

    images, kernel = tf.ones([1, 8, 8, 1]), tf.ones([3, 3, 1, 4])
    assert float(tf.reduce_sum(tf.nn.conv2d(images, kernel, 1, "VALID"))) == 6 * 6 * 4 * 9
    told = {"tensorflow": tf.__version__, "keras": keras.__version__, "gpus": devices.num_gpus(), "seconds": seconds}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
