"""Weights of classes: their mean over the training examples is 1, so that losses stay comparable."""

import numpy as np
import pytest

from pipeline.engine import class_weights
from pipeline.errors import BadDataError

NAMES = ("ant", "bee", "cow")
LABELS = np.int32([0, 0, 0, 0, 0, 1, 2, 2])
SEVERAL = np.int32([[0, 1], [0, -1], [0, 2], [-1, -1], [1, -1]])  # with: 3, 2, 1 of 5


def refusal(value, labels=LABELS):
    with pytest.raises(BadDataError) as caught:
        class_weights.of(str(value), labels, NAMES)
    return str(caught.value).replace(str(value), "FILE")


def test_balanced_weights_of_classes():
    weights = class_weights.of("balanced", LABELS, NAMES)
    np.testing.assert_array_equal(weights, np.float32([8 / (3 * 5), 8 / 3, 8 / 6]))
    assert weights[LABELS].mean() == pytest.approx(1)
    assert np.bincount(LABELS, weights=weights[LABELS]) == pytest.approx([8 / 3] * 3)  # each class weighs the same


def test_balanced_weights_of_several_labels_give_half_to_the_examples_with_a_class():
    without, having = class_weights.of("balanced", SEVERAL, NAMES)
    np.testing.assert_array_equal(having, np.float32([5 / 6, 5 / 4, 5 / 2]))
    np.testing.assert_array_equal(without, np.float32([5 / 4, 5 / 6, 5 / 8]))


def test_weights_of_a_file_are_divided_by_their_mean_over_the_examples(tmp_path):
    (tmp_path / "weights").write_text("1\n0.5\n 3e0 \n")
    weights = class_weights.of(f"{tmp_path}/weights", LABELS, NAMES)
    np.testing.assert_array_equal(weights, np.float32(np.array([1, 0.5, 3]) / (11.5 / 8)))
    assert weights[LABELS].mean() == pytest.approx(1)
    evenly = class_weights.of(f"{tmp_path}/weights", LABELS, NAMES, evenly=True)
    np.testing.assert_array_equal(evenly, np.float32(np.array([1, 0.5, 3]) / 1.5))
    several = class_weights.of(f"{tmp_path}/weights", SEVERAL, NAMES)
    np.testing.assert_array_equal(several, np.float32([np.array([1, 0.5, 3]) / 1.5] * 2))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "1\n2\n",
            "class_weights=FILE has 2 lines and the data 3 classes, from ant to cow; write one weight a line, in",
        ),
        ("1\n-2\n3\n", "class_weights=FILE: line 2 is '-2'; a weight is a number of 0 or more"),
        ("1\n2\nnan\n", "line 3 is 'nan'; a weight"),
        ("inf\n2\n3\n", "line 1 is 'inf'; a weight"),
        ("1\n\n3\n", "line 2 is ''; a weight"),
        ("0\n0\n0\n", "class_weights=FILE gives weight 0 to all training examples; raise one"),
        (b"\xff\n2\n3\n", "class_weights=FILE is not UTF-8 text; write one weight a line"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path, text, said):
    (tmp_path / "weights").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert said in refusal(tmp_path / "weights")


def test_classes_that_cannot_be_balanced_are_named(tmp_path):
    assert refusal(tmp_path / "none") == "class_weights=FILE cannot be read (No such file or directory); correct it"
    said = "class_weights=FILE: no training examples are of class bee; change the data, or give the weights in a file"
    assert refusal("balanced", np.int32([0, 2])) == said
    assert "no training examples are of class cow" in refusal("balanced", np.int32([[0, -1], [1, -1]]))
    assert "all training examples are of class ant" in refusal(
        "balanced", np.int32([[0, 1, -1], [0, 1, 2], [0, -1, -1]])
    )
