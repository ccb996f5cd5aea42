"""A model's non-trainable variables: the states of seed generators, and running statistics."""

import re

import keras

from pipeline.errors import UsageError


def is_seed(variable: keras.Variable) -> bool:
    """Whether a non-trainable variable is the state of a Keras seed generator, which the plan replaces."""
    return variable.path.endswith("seed_generator_state")


def statistics_of(model: keras.Model) -> list[keras.Variable]:
    """The model's running statistics (as of batch normalization): non-trainable, and no seed."""
    return [v for v in model.non_trainable_variables if not is_seed(v)]


def trained_of(model: keras.Model, frozen: re.Pattern[str] | None) -> list[keras.Variable]:
    """The parameters whose whole path `frozen` does not match, in the model's order.

    Raises UsageError if the pattern matches none of the parameters, or all.
    """
    parameters = model.trainable_variables
    if frozen is None:
        return parameters
    trained = [v for v in parameters if not frozen.fullmatch(v.path)]
    if not trained or len(trained) == len(parameters):
        matched = "no parameter" if trained else "every parameter"
        shown = ", ".join(v.path for v in parameters[:3])
        raise UsageError(
            f"freeze={frozen.pattern} matches {matched} of the model; give a pattern for some of their whole paths, "
            f"such as {shown}"
        )
    return trained


def seeds_of(model: keras.Model) -> list[keras.Variable]:
    """The model's seed states, one for every random layer."""
    return [v for v in model.non_trainable_variables if is_seed(v)]
