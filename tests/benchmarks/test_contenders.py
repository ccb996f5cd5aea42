"""Contenders as the worker process calls them: what they evaluate, and that it stays as it is."""

import dataclasses

import pytest
from small_run import INTRA_OP_THREADS

from benchmarks.contenders import keras_fit, ours
from benchmarks.task import Task


class Enough(Exception):
    """So many rounds that a test has seen enough."""


def rounds(contender, task, number=2):
    """What a contender tells after each of its first rounds: the loss and the number of parameters."""
    told = []

    def pause(loss, num_parameters):
        told.append((loss, num_parameters))
        if len(told) == number:
            raise Enough

    with pytest.raises(Enough):
        contender(task, pause)
    return told


def test_an_evaluation_is_of_the_same_examples_for_everyone_and_trains_nothing():
    """Of 55 examples three batches of 16 are whole, so seven are those twice, and the first one.

    Keras' evaluation of our model has our initial values.
    """
    settings = {"intra_op_threads": INTRA_OP_THREADS}
    task = Task("", 16, 7, model="cnn_bn", source="fake:60", evaluates=True, settings=settings)
    (loss, parameters), again = rounds(ours.train, task)
    assert again == (loss, parameters)
    (of_keras, number), of_keras_again = rounds(keras_fit.of_our_model, dataclasses.replace(task, round_steps=1))
    assert of_keras_again == (of_keras, number)
    assert of_keras == pytest.approx(loss, rel=1e-5) and number == parameters
