"""No operation of the input pipeline has a state.

Under op determinism, the default on GPUs, tf.data computes one batch at a time if one has. An assertion has one, and so
has a loop or a branch in which there is one.
"""

import pytest
import small_run
import tensorflow as tf
from picture_folders import encoded, photo
from shard_files import imagenet_records, tar_members, write_records, write_tar

from pipeline import augment
from pipeline.engine.batches import Batches

OPERATIONS = {name: f"{name}:{amount.example}" if amount else name for name, amount in augment.OPERATIONS.items()}
ALTERNATIVES = ("alternating_flip", "cutmix")  # to flip and mixup: there can be one of each


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Twenty coloured pictures, in files of every kind."""
    root = tmp_path_factory.mktemp("data")
    for i in range(20):
        path = root / "D" / ("ant", "bee")[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(photo(12, seed=i), "JPEG"))
    write_records(root / "all.tfrecord", imagenet_records(root / "D"))
    write_tar(root / "all.tar", tar_members(root / "D"))
    return root


def with_state(function, *specs: tf.TensorSpec) -> list[str]:
    """The operations of a function's graph that have a state. Calls, loops and branches have that of their inside."""
    operations = tf.function(function, autograph=False).get_concrete_function(*specs).graph.get_operations()
    return [f"{op.type} {op.name}" for op in operations if op.op_def.is_stateful]


def of_batches(**fields) -> list[str]:
    parts = small_run.assembly(1, global_batch=8, grad_shards=2, **fields)
    config = parts.config
    changes = config.augmentation, config.augment_steps
    batches = Batches(parts.plan, parts.train, *changes, config.multi_label, parts.example_weights)
    return with_state(lambda step: batches.at(step, range(2)), tf.TensorSpec([], tf.int64))


@pytest.mark.parametrize("mib", [0, 512])
@pytest.mark.parametrize("spec", ["folder:{}/D", "tfrecord:{}/all.tfrecord", "tar:{}/all.tar", "fake:20", "digits:20"])
def test_sources(root, spec, mib):
    fields = {"source": spec.format(root), "validation_fraction": 0.2, "decoded_cache_mib": mib}
    assert of_batches(**fields) == []
    assert of_batches(**fields, image_size="8x9", sampling="balanced") == []


def test_several_labels():
    assert of_batches(source="fake:20", multi_label=True) == []


@pytest.mark.parametrize("alternative", [False, True])
def test_augmentation(root, alternative):
    operations = [words for name, words in OPERATIONS.items() if (name in ALTERNATIVES) == alternative]
    fields = {"source": f"folder:{root}/D", "validation_fraction": 0.2, "augment": ",".join(operations)}
    assert of_batches(**fields) == of_batches(**fields, augment_steps=5) == []


def test_what_has_a_state_is_found():
    def asserts(number):
        return tf.cond(number > 1, lambda: tf.debugging.Assert(number > 2, [number]), tf.no_op)

    assert [name.split()[0] for name in with_state(asserts, tf.TensorSpec([], tf.int64))] == ["If"]
