"""What predict tells of images that have any number of classes."""

import json

import numpy as np
from small_run import assembly

from pipeline import predict
from pipeline.predict import Verdict
from pipeline.serving.images import Images
from pipeline.serving.prediction import Predictor

VERDICTS = [
    Verdict("a.png", {"ant": 0.9, "bee": 0.2, "cow": 0.51}, multi_label=True),
    Verdict("b.png", {"ant": 0.1, "bee": 0.5, "cow": 0.3}, multi_label=True),
]


def test_the_table_names_all_classes_that_are_likelier_than_not(capsys):
    predict.show_table(VERDICTS, [])
    assert capsys.readouterr().out.splitlines() == [
        "image  classes   likeliest",
        "a.png  ant, cow  ant 90.00%, cow 51.00%, bee 20.00%",
        "b.png  none      bee 50.00%, cow 30.00%, ant 10.00%",
    ]


def test_json_has_a_list_of_classes(capsys):
    predict.show_json(VERDICTS, [])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["classes"] for line in told] == [["ant", "cow"], []]
    assert all("class" not in line for line in told)


def test_a_predictor_of_several_labels_takes_the_sigmoid_of_each_logit(tmp_path):
    parts = assembly(2, model="models_for_tests:linear", optimizer="sgd", multi_label=True)
    pixels = np.random.default_rng(1).integers(0, 256, [5, 28, 28], np.uint8)
    np.save(tmp_path / "some.npy", pixels)
    images = Images([str(tmp_path / "some.npy")], (28, 28, 1))
    found = Predictor(parts.model, parts.towers(parts.initial()), 2, multi_label=True)(images, False)
    [kernel] = parts.initial().values()
    by_hand = 1 / (1 + np.exp(-(pixels.reshape(5, -1) / 255 @ kernel.astype(np.float64))))
    np.testing.assert_allclose(found.probabilities, by_hand, rtol=1e-5)
