"""Losses against their formulas in NumPy, in float64."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.engine.losses import BinaryCrossEntropy, CrossEntropy

LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]])
LABELS = np.array([0, 1])
SHARES = np.array([[0.75, 0.25, 0], [0, 0.5, 0.5]])
WEIGHTS = np.array([0.5, 2, 1.25])


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def gradient_of(loss, logits, labels):
    logits = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = loss.of_examples(logits, labels)
    return losses.numpy(), tape.gradient(losses, logits).numpy()


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("mixed", [False, True])
def test_cross_entropy_of_smoothed_labels_or_shares_with_the_terms_of_classes_weighted(mixed, smoothing, weights):
    shares = SHARES if mixed else np.eye(3)[LABELS]
    labels = tf.constant(SHARES, tf.float32) if mixed else tf.constant(LABELS, tf.int64)
    target = ((1 - smoothing) * shares + smoothing / 3) * (1 if weights is None else weights)
    loss = CrossEntropy(smoothing, None if weights is None else weights.astype(np.float32))
    losses, gradient = gradient_of(loss, LOGITS, labels)
    np.testing.assert_allclose(losses, -(target * log_softmax(LOGITS)).sum(axis=1), rtol=1e-6)
    by_hand = np.exp(log_softmax(LOGITS)) * target.sum(axis=1, keepdims=True) - target
    np.testing.assert_allclose(gradient, by_hand, rtol=1e-4, atol=1e-6)


def test_hits_are_where_the_largest_logit_is_the_labels_or_the_largest_shares():
    logits = tf.constant(LOGITS, tf.float32)
    assert CrossEntropy().hits(logits, tf.constant(LABELS)).numpy().tolist() == [1, 0]
    shares = tf.constant([[0.25, 0.75, 0], [0.25, 0, 0.75]])
    assert CrossEntropy().hits(logits, shares).numpy().tolist() == [0, 1]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy_is_the_mean_over_the_classes(smoothing, weighted):
    labels = np.array([[1, 0, 0.25], [0, 0, 0]])
    without, having = (np.array([2.0, 1, 0.5]), np.array([0.25, 1, 3])) if weighted else (np.ones(3), np.ones(3))
    loss = BinaryCrossEntropy(smoothing, np.float32([without, having]) if weighted else None)
    losses, gradient = gradient_of(loss, LOGITS, tf.constant(labels, tf.float32))
    target, p = labels * (1 - smoothing) + smoothing / 2, 1 / (1 + np.exp(-LOGITS))
    terms = -having * target * np.log(p) - without * (1 - target) * np.log(1 - p)
    np.testing.assert_allclose(losses, terms.mean(axis=1), rtol=1e-6)
    by_hand = (without * (1 - target) * p - having * target * (1 - p)) / 3
    np.testing.assert_allclose(gradient, by_hand, rtol=1e-5, atol=1e-7)


def test_binary_cross_entropy_of_logits_that_are_far_off_is_finite():
    loss = BinaryCrossEntropy(0, np.ones([2, 2], np.float32))
    losses, gradient = gradient_of(loss, [[1e4, -1e4]], tf.constant([[0.0, 1.0]]))
    assert (losses.tolist(), gradient.tolist()) == ([1e4], [[0.5, -0.5]])


def test_an_example_of_several_labels_is_right_where_each_class_is():
    logits = tf.constant([[1.0, -1, 2], [1, -1, 2], [-1, -1, -1], [0, -1, -1]])
    labels = tf.constant([[1.0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert BinaryCrossEntropy().hits(logits, labels).numpy().tolist() == [1, 0, 1, 1]
    mixed = tf.constant([[0.75, 0.25, 1], [0.5, 0, 1], [0, 0, 0], [0, 0.4, 0]])
    assert BinaryCrossEntropy().hits(logits, mixed).numpy().tolist() == [1, 0, 1, 1]
