"""What TensorFlow sees of this machine, as a line of JSON: python -m tests.gpu.facts."""

import json

from pipeline.engine.hardware import conditions
from pipeline.process.startup import import_tensorflow


def main() -> None:
    import_tensorflow()
    import keras
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    gpus = tf.config.list_physical_devices("GPU")
    facts = {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "cuda": build.get("cuda_version", "none"),
        "cudnn": build.get("cudnn_version", "none"),
        "kernels for": build.get("cuda_compute_capabilities", []),
        "gpus": [str(tf.config.experimental.get_device_details(gpu)) for gpu in gpus],
        "conditions": conditions(),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
