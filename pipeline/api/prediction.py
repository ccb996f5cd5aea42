"""A trained model in this process: probabilities of images."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

from pipeline.api import opening
from pipeline.errors import UsageError
from pipeline.process import standard_error
from pipeline.runs.run_directory import RunDirectory

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

AnyPath = Union[str, "os.PathLike[str]"]


class Predictor:
    """The model of a checkpoint. Call it with images; it computes what `python -m pipeline.predict` does."""

    def __init__(
        self,
        directory: RunDirectory,
        checkpoint: str,
        parameters: str | None,
        execution: Mapping[str, Any],
        trust_code: bool,
    ) -> None:
        """See `Run.predictor`, and `load`."""
        _, self.step, assembly, towers = opening.opened(directory, checkpoint, parameters, execution, trust_code)
        from pipeline.serving.prediction import Predictor as Computation

        self.classes: tuple[str, ...] = tuple(assembly.spec.class_names)
        self.image_shape = assembly.spec.image_shape  # height, width, channels
        config = assembly.config
        self._eval_crop = config.eval_crop
        self._compute = Computation(assembly.model, towers, assembly.eval_batch, config.multi_label)

    def __call__(self, images: "npt.ArrayLike | AnyPath | Sequence[AnyPath]") -> "npt.NDArray[np.float32]":
        """The probabilities of images: [n, classes] float32, in their order; they sum to 1, but for several labels.

        images: an array [n, height, width] or [n, height, width, 1 or 3], uint8 or floats in [0, 1]; or a path, or
        several, of PNG, JPEG or .npy files, folders or globs. Any size is cropped around the middle and resized.
        Raises BadDataError for what is no image, UsageError for none.
        """
        from pipeline.serving.images import Images

        chosen = Images(_given(images), self.image_shape, self._eval_crop)
        if not len(chosen):
            raise UsageError("no image was given; give an array of images, or paths")
        with standard_error.kept() as lines:
            predictions = self._compute(chosen, skip_unreadable=False)
        for line in chosen.remarks(lines, refused=False):
            standard_error.tell(line)
        return predictions.probabilities


def _given(images: Any) -> list[Any]:
    """The paths that were given, or one array. Raises BadDataError for folders and globs without pictures."""
    import numpy as np

    from pipeline.serving import inputs

    one = isinstance(images, str | os.PathLike)
    several = isinstance(images, list | tuple) and all(isinstance(path, str | os.PathLike) for path in images)
    return (
        inputs.expand([os.fspath(p) for p in ([images] if one else images)], ())
        if one or several
        else [np.asarray(images)]
    )
