"""TensorFlow Datasets: its own MNIST, prepared from finished downloads, and small data sets of every awkward form."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets

from pipeline import sources
from pipeline.config import Config
from pipeline.errors import BadDataError, UsageError
from pipeline.sources import tfds
from pipeline.sources.decoding import find_broken

MNIST_ARCHIVES = tuple(
    f"{split}-{kind}-ubyte.gz" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)
# fmt: off
FORMS = ("plain", "validation", "no_test", "unlabelled", "train_only", "no_train", "varying", "wide", "no_label",
         "broken", "offline", "raced", "several", "objects", "several_unlabelled", "two_labels")
# fmt: on


DIVISORS = (2, 3, 5)


def divisors(value):
    """The numbers of the classes of a picture of several labels: by which of DIVISORS its value can be divided."""
    return [number for number, divisor in enumerate(DIVISORS) if value % divisor == 0]


def one_of_divisors():
    return tensorflow_datasets.features.ClassLabel(names=["by 2", "by 3", "by 5"])


# As the data sets voc and coco have them.
LABELS_OF = {
    "several": lambda: {
        name: tensorflow_datasets.features.Sequence(one_of_divisors()) for name in ("labels", "labels_without_2")
    },
    "objects": lambda: {
        "objects": tensorflow_datasets.features.Sequence({"size": np.float32, "label": one_of_divisors()})
    },
}


class PipelinePictures(tensorflow_datasets.core.GeneratorBasedBuilder):
    """Images whose pixels are all 0, 1, 2, ...; one configuration for each form a data set may have."""

    raced = False  # whether another worker has prepared the configuration of that name meanwhile
    VERSION = tensorflow_datasets.core.Version("1.2.3")
    BUILDER_CONFIGS = [tensorflow_datasets.core.BuilderConfig(name=name) for name in FORMS]  # noqa: RUF012

    def _info(self):
        form = self.builder_config.name
        shape = (None, None, 3) if form == "varying" else (4, 5, 1)
        dtype = np.uint16 if form == "wide" else np.uint8
        features = {
            "image": tensorflow_datasets.features.Image(shape=shape, dtype=dtype, encoding_format="png"),
            "label": tensorflow_datasets.features.ClassLabel(names=["even", "odd"]),
            "file": np.str_,
        }
        if form == "no_label":
            del features["label"]
        if form == "two_labels":
            features["large"] = tensorflow_datasets.features.ClassLabel(names=["small", "large"])
        if form.startswith(("several", "objects")):
            features |= LABELS_OF[form.removesuffix("_unlabelled")]()
        return tensorflow_datasets.core.DatasetInfo(
            builder=self, features=tensorflow_datasets.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        form = self.builder_config.name
        if form == "offline":
            raise ConnectionError("no route\nto host")
        if form == "raced" and not PipelinePictures.raced:
            PipelinePictures.raced = True
            tensorflow_datasets.builder("pipeline_pictures/raced", data_dir=self.data_dir_root).download_and_prepare()
        splits = {"train": range(20), "test": range(100, 104), "validation": range(200, 206)}
        absent = {"no_test": ["test"], "train_only": ["test", "validation"], "no_train": ["train"], "validation": []}
        for name in absent.get(form, [] if form == "unlabelled" else ["validation"]):
            del splits[name]
        return {name: self._generate_examples(name, values) for name, values in splits.items()}

    def _generate_examples(self, split, values):
        form = self.builder_config.name
        for value in values:
            shape = (4 + value % 3, 5, 3) if form == "varying" else (4, 5, 1)
            image = np.full(shape, value, np.uint16 if form == "wide" else np.uint8)
            example = {"image": image, "label": value % 2, "file": f"{value}.png"}
            if form == "unlabelled" and split == "test":
                example["label"] = -1
            if form == "broken" and value == 7:
                example["image"] = io.BytesIO(b"no image")
            if form == "no_label":
                del example["label"]
            if form == "two_labels":
                example["large"] = int(value >= 10)
            if form.startswith("several"):
                unlabelled = form.endswith("unlabelled") and split == "test"
                example |= {"labels": [] if unlabelled else divisors(value), "labels_without_2": divisors(value)[1:]}
            if form == "objects":
                example["objects"] = [{"size": 1.5, "label": number} for number in divisors(value) * 2]
            yield value, example


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


def open_splits(data_dir, spec, **flags):
    flags = {"data_dir": str(data_dir), "validation_fraction": 0.25, **flags}
    return sources.open_splits(Config(source=f"tfds:{spec}", **flags))


def all_of(source):
    raw, labels = source.fetch(tf.range(len(source), dtype=tf.int64))
    return source.decode(raw).numpy(), labels.numpy()


def values(source):
    return sorted(all_of(source)[0][:, 0, 0, 0].tolist())


def refusal(error, data_dir, spec, **flags):
    with pytest.raises(error) as caught:
        open_splits(data_dir, spec, **flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


TRAIN, TEST, VALIDATION = [*range(20)], [*range(100, 104)], [*range(200, 206)]


def test_validation_is_carved_off_where_there_is_none(data_dir):
    splits = open_splits(data_dir, "pipeline_pictures/plain:1.2.3")
    assert splits.train.image_shape == (4, 5, 1) and splits.train.class_names == ("even", "odd")
    assert (len(splits.train), len(splits.validation)) == (15, 5)
    assert sorted(values(splits.train) + values(splits.validation)) == TRAIN and values(splits.test) == TEST
    images, labels = all_of(splits.train)
    np.testing.assert_array_equal(labels, images[:, 0, 0, 0] % 2)
    np.testing.assert_array_equal(images, np.broadcast_to(images[:, :1, :1], images.shape))


@pytest.mark.parametrize(
    "form, sizes, tested",
    [
        ("validation", [20, 6, 4], TEST),
        ("no_test", [15, 5, 6], VALIDATION),
        ("unlabelled", [15, 5, 6], VALIDATION),
    ],
)
def test_which_split_becomes_which(data_dir, form, sizes, tested):
    splits = open_splits(data_dir, f"pipeline_pictures/{form}")
    assert [len(split) for split in vars(splits).values()] == sizes and values(splits.test) == tested


def test_both_are_carved_off_where_there_is_only_train(data_dir):
    splits = open_splits(data_dir, "pipeline_pictures/train_only")
    assert [len(split) for split in vars(splits).values()] == [11, 4, 5]
    assert sorted(value for split in vars(splits).values() for value in values(split)) == TRAIN


def test_records_are_read_at_random_where_they_are_too_many_to_hold(data_dir, monkeypatch):
    held = open_splits(data_dir, "pipeline_pictures/plain").train
    monkeypatch.setattr(tfds, "HELD_BYTES", 0)
    source = open_splits(data_dir, "pipeline_pictures/plain").train
    raw, _ = source.fetch(tf.constant([3], tf.int64))
    assert raw.dtype == tf.string and source.where(3) == "tfds:pipeline_pictures/plain train: record 8"
    dataset = tf.data.Dataset.range(len(source)).batch(4).map(source.fetch).map(lambda raw, y: (source.decode(raw), y))
    assert dataset.element_spec[0].shape.as_list() == [None, 4, 5, 1]
    images, labels = (np.concatenate(parts) for parts in zip(*dataset.as_numpy_iterator(), strict=True))
    np.testing.assert_array_equal(images, all_of(held)[0])
    np.testing.assert_array_equal(labels, all_of(held)[1])
    np.testing.assert_array_equal(source.labels, held.labels)
    np.testing.assert_array_equal(source.labels, labels)


@pytest.mark.parametrize("held_bytes", [0, 2**20])
@pytest.mark.parametrize("form", LABELS_OF)
def test_several_labels_are_a_sequence_in_each_example(data_dir, monkeypatch, form, held_bytes):
    monkeypatch.setattr(tfds, "HELD_BYTES", held_bytes)
    splits = open_splits(data_dir, f"pipeline_pictures/{form}", multi_label=True)
    train = splits.train
    assert train.class_names == ("by 2", "by 3", "by 5")
    images, hot = all_of(train)
    of_value = images[:, 0, 0, 0].tolist()
    assert sorted(of_value + values(splits.validation)) == TRAIN and values(splits.test) == TEST
    expected = [[float(value % divisor == 0) for divisor in DIVISORS] for value in of_value]
    np.testing.assert_array_equal(hot, np.array(expected, np.float32))
    rows = [[label for label in row if label >= 0] for row in train.labels.tolist()]
    assert rows == [divisors(value) for value in of_value]
    assert [train.original(i).labels for i in range(len(train))] == [tuple(row) for row in rows]
    dataset = tf.data.Dataset.range(len(train)).batch(4).map(train.fetch)
    np.testing.assert_array_equal(np.concatenate([y for _, y in dataset.as_numpy_iterator()]), hot)


def test_a_test_split_without_any_label_is_none(data_dir):
    splits = open_splits(data_dir, "pipeline_pictures/several_unlabelled", multi_label=True)
    assert not set(values(splits.test)) & set(TEST)


def test_flags_choose_among_labels(data_dir):
    splits = open_splits(data_dir, "pipeline_pictures/two_labels", record_label_key="large")
    images, labels = all_of(splits.train)
    np.testing.assert_array_equal(labels, images[:, 0, 0, 0] >= 10)
    assert splits.train.class_names == ("small", "large")
    flags = {"record_label_key": "labels_without_2", "multi_label": True}
    images, hot = all_of(open_splits(data_dir, "pipeline_pictures/several", **flags).test)
    np.testing.assert_array_equal(hot[:, 0], 0)
    assert hot[:, 1:].any()
    assert "name them by --record_image_key" in refusal(BadDataError, data_dir, "pipeline_pictures/two_labels")
    message = refusal(UsageError, data_dir, "pipeline_pictures/objects", record_label_key="colour", multi_label=True)
    assert message.endswith("no such feature of tfds:pipeline_pictures/objects; it has: objects/label")
    message = refusal(BadDataError, data_dir, "pipeline_pictures/plain", multi_label=True)
    assert "one sequence of class labels are needed" in message


def test_a_data_dir_is_never_a_pattern(tmp_path, monkeypatch):
    for held_bytes in (2**20, 0):
        monkeypatch.setattr(tfds, "HELD_BYTES", held_bytes)
        splits = open_splits(tmp_path / "a[1]*", "pipeline_pictures/plain")
        assert sorted(values(splits.train) + values(splits.validation)) == TRAIN and values(splits.test) == TEST
    assert [path.name for path in tmp_path.iterdir()] == ["a[1]*"]


def test_without_a_home_directory_a_data_dir_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr(tensorflow_datasets.core.constants, "DATA_DIR", "~/tensorflow_datasets")
    message = refusal(UsageError, "", "pipeline_pictures/plain")
    assert message.startswith("data_dir=~/tensorflow_datasets: no home directory is known for ~; give")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("held_bytes", [0, 2**20])
def test_the_fingerprint_depends_on_the_examples_and_not_on_where_they_lie(data_dir, tmp_path, monkeypatch, held_bytes):
    monkeypatch.setattr(tfds, "HELD_BYTES", held_bytes)

    def of(directory, form):
        return open_splits(directory, f"pipeline_pictures/{form}").spec.fingerprint

    assert of(data_dir, "plain") == of(tmp_path, "plain") != of(data_dir, "validation")


def test_images_of_varying_size_need_a_size(data_dir):
    message = refusal(UsageError, data_dir, "pipeline_pictures/varying")
    assert "images of varying size" in message and "--image_size=N" in message
    splits = open_splits(data_dir, "pipeline_pictures/varying", image_size="8x6")
    assert splits.train.image_shape == (8, 6, 3) and values(splits.test) == TEST


def test_what_was_prepared_as_tfrecord_is_held_encoded(tmp_path, monkeypatch):
    builder = tensorflow_datasets.builder("pipeline_pictures/plain", data_dir=tmp_path)
    builder.download_and_prepare(file_format="tfrecord")
    monkeypatch.setattr(tfds, "HELD_BYTES", 0)
    splits = open_splits(tmp_path, "pipeline_pictures/plain")
    assert sorted(values(splits.train) + values(splits.validation)) == TRAIN
    monkeypatch.setattr(tfds, "TFRECORD_BYTES", 100)
    message = refusal(BadDataError, tmp_path, "pipeline_pictures/plain")
    assert "as tfrecord, which cannot be read at random; give another --data_dir" in message


def test_another_worker_may_prepare_it_meanwhile(data_dir):
    splits = open_splits(data_dir, "pipeline_pictures/raced")
    assert PipelinePictures.raced and values(splits.test) == TEST


@pytest.mark.parametrize("held_bytes", [0, 2**20])
def test_record_files_that_cannot_be_read(tmp_path, monkeypatch, held_bytes):
    monkeypatch.setattr(tfds, "HELD_BYTES", held_bytes)
    open_splits(tmp_path, "pipeline_pictures/plain")
    [path] = tmp_path.glob("pipeline_pictures/plain/1.2.3/*train*")
    with open(path, "r+b") as file:
        file.truncate(500)
    assert "plain train cannot be read" in refusal(BadDataError, tmp_path, "pipeline_pictures/plain")


def test_what_is_refused(data_dir):
    assert "is no data set of TFDS; did you mean pipeline_pictures" in refusal(UsageError, data_dir, "pipeline_picture")
    assert "see https://" in refusal(UsageError, data_dir, "qqqqqqqqqqqqqqqqqqqqq")
    assert "cannot be opened" in refusal(UsageError, data_dir, "pipeline_pictures/plain:9.9.9")
    assert "cannot be opened" in refusal(UsageError, data_dir, "pipeline_pictures/unknown")
    assert "has the features image, file;" in refusal(BadDataError, data_dir, "pipeline_pictures/no_label")
    assert "8-bit pixels" in refusal(BadDataError, data_dir, "pipeline_pictures/wide")
    assert "no train split with labels, but test" in refusal(BadDataError, data_dir, "pipeline_pictures/no_train")
    message = refusal(BadDataError, data_dir, "pipeline_pictures/offline")
    assert "cannot be prepared" in message and "ConnectionError: no route to host" in message


@pytest.mark.parametrize("held_bytes", [0, 2**20])
def test_an_image_that_cannot_be_decoded_is_named(data_dir, monkeypatch, held_bytes):
    monkeypatch.setattr(tfds, "HELD_BYTES", held_bytes)
    if held_bytes:
        message = refusal(BadDataError, data_dir, "pipeline_pictures/broken")
    else:
        source = open_splits(data_dir, "pipeline_pictures/broken").train
        with pytest.raises(BadDataError) as caught:
            find_broken(source, range(len(source)))
        message = str(caught.value)
    assert "tfds:pipeline_pictures/broken train: record" in message and "cannot be decoded" in message


def place_downloads(data_dir, contents):
    """Puts archives where TFDS's download step looks for files that were fetched by hand; it checks their hashes."""
    directory = data_dir / "downloads" / "manual"
    directory.mkdir(parents=True)
    for name in MNIST_ARCHIVES:
        (directory / name).write_bytes(contents(name))


def as_set(*splits):
    """Hashes of all images and labels, in an order of their own: TFDS stores examples in another than the files."""
    images, labels = (np.concatenate(parts) for parts in zip(*map(all_of, splits), strict=True))
    return sorted(
        hashlib.sha256(image.tobytes() + bytes([label])).digest() for image, label in zip(images, labels, strict=True)
    )


def test_tfds_prepares_the_real_mnist_from_finished_downloads(mnist_directory, tmp_path):
    place_downloads(tmp_path, lambda name: (Path(mnist_directory) / name).read_bytes())
    idx = sources.open_splits(Config(source=f"idx:{mnist_directory}"))
    splits = sources.open_splits(Config(source="mnist", data_dir=str(tmp_path)))
    assert [len(split) for split in vars(splits).values()] == [55_000, 5_000, 10_000]
    assert splits.train.class_names == idx.train.class_names and splits.train.image_shape == idx.train.image_shape
    assert as_set(splits.test) == as_set(idx.test)
    assert as_set(splits.train, splits.validation) == as_set(idx.train, idx.validation)
    again = sources.open_splits(Config(source="tfds:mnist:3.0.1", data_dir=str(tmp_path)))
    np.testing.assert_array_equal(all_of(again.train)[0], all_of(splits.train)[0])


def test_downloads_with_other_checksums_are_refused(tmp_path):
    place_downloads(tmp_path, str.encode)
    message = refusal(BadDataError, tmp_path, "mnist")
    assert "NonMatchingChecksumError" in message and f"{tmp_path}/downloads/manual" in message
