"""A model's non-trainable variables: the states of seed generators, and running statistics."""

import keras


def is_seed(variable: keras.Variable) -> bool:
    """Whether a non-trainable variable is the state of a Keras seed generator, which the plan replaces."""
    return variable.path.endswith("seed_generator_state")


def statistics_of(model: keras.Model) -> list[keras.Variable]:
    """The model's running statistics (as of batch normalization): non-trainable, and no seed."""
    return [v for v in model.non_trainable_variables if not is_seed(v)]


def seeds_of(model: keras.Model) -> list[keras.Variable]:
    """The model's seed states, one for every random layer."""
    return [v for v in model.non_trainable_variables if is_seed(v)]
