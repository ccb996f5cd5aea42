"""savedmodel: a directory that TensorFlow, TF Serving and their tools load without this project or Keras.

Signatures: `serving_default` takes `images` [n, height, width, channels] uint8; `serving_bytes` takes `image_bytes`
[n], the contents of picture files of any size. Both return `probabilities` [n, classes] float32, `class_index` [n]
int64, the likeliest class, and `class_name` [n], its name; of a multi-label model `probabilities` and `has_class`
[n, classes] bool, the predicted classes. All names are in assets/labels.txt.
"""

import tempfile
from pathlib import Path

import tensorflow as tf

from pipeline.serving.formats.network import Network, Predictor, Runner
from pipeline.sources import images as encoded
from pipeline.storage.reading import without_patterns

NAME = ""  # the directory itself


def write(network: Network, directory: Path) -> list[str]:
    """Writes a SavedModel to the directory."""
    predictor = Predictor(network, network.precision)
    with tempfile.TemporaryDirectory() as directory_of_labels:  # the save copies its assets
        predictor.labels = tf.saved_model.Asset(str(network.write_labels(Path(directory_of_labels))))
        tf.saved_model.save(predictor, str(directory), signatures=_signatures(predictor, network))
    return []


def _signatures(predictor: Predictor, network: Network) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    names = tf.constant(network.class_names)
    window = encoded.middle(network.eval_crop, network.image_shape)

    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        answers = predictor.predict(images)
        if network.multi_label:
            return {**answers, "has_class": answers["probabilities"] > 0.5}
        index = tf.argmax(answers["probabilities"], axis=-1)
        return {**answers, "class_index": index, "class_name": tf.gather(names, index)}

    def answer_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(encoded.decode_batch(image_bytes, network.image_shape, window))

    pixels = tf.TensorSpec([None, *network.image_shape], tf.uint8, name="images")
    files = tf.TensorSpec([None], tf.string, name="image_bytes")
    return {
        "serving_default": tf.function(answer, input_signature=[pixels], autograph=False),
        "serving_bytes": tf.function(answer_bytes, input_signature=[files], autograph=False),
    }


def load(directory: Path) -> Runner:
    """The model, loaded by TensorFlow alone."""
    with without_patterns(directory) as path:
        loaded = tf.saved_model.load(path)  # kept alive by the function below: it owns the variables
    return lambda images: loaded.signatures["serving_default"](images=tf.constant(images))["probabilities"].numpy()
