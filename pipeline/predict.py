"""Entry point: python -m pipeline.predict --run_dir=R FILE... Prints the classes of images, with probabilities.

With --split instead of FILEs it predicts all examples of a split, and writes them to a file.
"""

import heapq
import json
import operator
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from absl.flags import DEFINE_boolean, DEFINE_enum, DEFINE_string

from pipeline.cli import command, flags
from pipeline.errors import BadDataError, UsageError
from pipeline.process import standard_error
from pipeline.process.startup import import_tensorflow
from pipeline.runs import settings
from pipeline.runs.run_directory import RunDirectory
from pipeline.storage.files import expand, replacing, storage_errors

if TYPE_CHECKING:
    from pipeline.serving.images import Images

SHOWN_CLASSES = 3


class Verdict(NamedTuple):
    """The model's answer to one image."""

    name: str
    probabilities: dict[str, float]  # by class, in the order of the classes
    multi_label: bool = False  # whether the image has any number of classes, each with a probability of its own

    @property
    def classes(self) -> list[str]:
        """The predicted classes: the likeliest, or of a multi-label model all that are likelier than not."""
        if not self.multi_label:
            return [self.likeliest[0][0]]
        return [name for name, probability in self.probabilities.items() if probability > 0.5]

    @property
    def answer(self) -> dict[str, str | list[str]]:
        """The predicted classes as a field of JSON."""
        return {"classes": self.classes} if self.multi_label else {"class": self.classes[0]}

    @property
    def likeliest(self) -> list[tuple[str, float]]:
        """The likeliest SHOWN_CLASSES classes and their probabilities, the likeliest first."""
        return heapq.nlargest(SHOWN_CLASSES, self.probabilities.items(), key=lambda pair: pair[1])


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.define_parameters()
    flags.define_for_readers(*settings.COMPUTING, *settings.SPLIT)
    DEFINE_enum("format", "table", ["table", "json"], "A table for people, or one JSON object a line.")
    DEFINE_boolean("skip_unreadable", False, "Name files that cannot be read on stderr, and go on without them.")
    DEFINE_string("draw", "", "A directory to write each image to, with its likeliest classes below it.")
    DEFINE_enum("split", None, ["test", "validation", "train"], "Predict all examples of a split, in place of FILEs.")
    DEFINE_string("output", "", "--split: the file of the predictions, .csv, .jsonl or .parquet.")


def main(words: list[str]) -> None:
    """Predicts images in files, or the examples of a split."""
    if flags.value("split"):
        predict_split(words)
    else:
        predict_files(words)


def predict_split(words: list[str]) -> None:
    """Writes the predictions on a split to a file, or with --format=json to stdout; then a line with their accuracy."""
    output = _output_of_split(words)
    execution = flags.execution()
    directory = RunDirectory.existing(flags.value("run_dir"))
    import_tensorflow()
    from pipeline.runs.saved_run import SavedRun
    from pipeline.serving import prediction_files, split_predictions

    if output:
        prediction_files.check(output)
    saved = SavedRun(directory, flags.value("parameters"))
    restored = saved.restore(flags.value("checkpoint"))
    assembly, towers = saved.assemble(restored, execution)
    source = saved.examples(assembly, flags.value("split"))
    batches = split_predictions.batches(assembly.evaluator(towers), source)
    layout = prediction_files.Layout(source.class_names, assembly.config.multi_label)
    if not output:
        write = prediction_files.json_lines(sys.stdout, layout)
        for batch in batches:
            write(batch)
        return
    right = 0
    with storage_errors(output), replacing(output) as new, prediction_files.opened(new, layout) as write:
        for batch in batches:
            write(batch)
            right += sum(map(operator.eq, batch.labels, batch.predicted))
    told = {"split": flags.value("split"), "step": restored.manifest.step, "examples": len(source)}
    print(f"{told['split']} at step {told['step']}: {right:,} of {len(source):,} predicted right, in {output}")
    print(json.dumps({"event": "predictions", **told, "accuracy": right / len(source), "output": str(output)}))


def _output_of_split(words: list[str]) -> Path | None:
    """The file of --output; None for stdout. Raises UsageError for flags that do not go with --split."""
    split, output = flags.value("split"), flags.value("output")
    if words:
        raise UsageError(f"split={split} and FILEs ({words[0]}) exclude each other; give one of them")
    for name in ("draw", "skip_unreadable"):
        if flags.value(name):
            raise UsageError(f"--{name} is of FILEs, and split={split} is given; leave one of them out")
    if bool(output) == (flags.value("format") == "json"):
        raise UsageError(
            f"split={split} needs either --output=FILE, .csv, .jsonl or .parquet, or --format=json; give one of them"
        )
    return Path(expand(output, "output")) if output else None


def predict_files(words: list[str]) -> None:
    """Prints a line for each image, in the order of the files; nothing if one cannot be read or skipped."""
    for name in ("output", *settings.SPLIT):
        if flags.value(name):
            raise UsageError(
                f"{name}={flags.value(name)} is of --split, which is not given; give both, or leave it out"
            )
    if not words:
        raise UsageError("no FILE was given; name PNG, JPEG or .npy files, folders or globs after the flags, or -")
    if "" in words:
        raise UsageError("an empty FILE was given; name PNG, JPEG or .npy files, folders or globs, or leave it out")
    execution = flags.execution()
    directory = RunDirectory.existing(flags.value("run_dir"))
    import_tensorflow()
    from pipeline.runs.saved_run import SavedRun
    from pipeline.serving import inputs
    from pipeline.serving.images import Images
    from pipeline.serving.prediction import Predictor

    saved = SavedRun(directory, flags.value("parameters"))
    restored = saved.restore(flags.value("checkpoint"))
    assembly, towers = saved.assemble(restored, execution)
    images = Images(inputs.expand(words, sys.stdin), assembly.spec.image_shape, assembly.config.eval_crop)
    multi_label = assembly.config.multi_label
    predictor = Predictor(assembly.model, towers, assembly.eval_batch, multi_label)
    with standard_error.kept() as lines:
        predictions = predictor(images, flags.value("skip_unreadable"))
    for line in images.remarks(lines, bool(predictions.refused)):
        standard_error.tell(line)
    for refusal in predictions.refused:
        standard_error.tell(f"skipped: {refusal}")
    if not predictions.indices:
        raise BadDataError(f"none of the {len(images)} files can be read; give PNG, JPEG or .npy files")
    rows = zip(predictions.indices, predictions.probabilities.tolist(), strict=True)
    classes, names = assembly.spec.class_names, images.names
    verdicts = [Verdict(names[i], dict(zip(classes, row, strict=True)), multi_label) for i, row in rows]
    drawn = draw(images, predictions.indices, verdicts) if flags.value("draw") else []
    show = show_json if flags.value("format") == "json" else show_table
    show(verdicts, drawn)


def draw(images: "Images", indices: Sequence[int], verdicts: Sequence[Verdict]) -> list[str]:
    """Writes each image with its verdict to --draw; returns the paths. Raises StorageError."""
    from pipeline.serving import verdicts as pictures

    directory, paths = Path(expand(flags.value("draw"), "draw")), []
    with storage_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        for number, (index, verdict) in enumerate(zip(indices, verdicts, strict=True), start=1):
            paths.append(directory / f"{number:06}-{Path(verdict.name).stem}.png")
            with replacing(paths[-1]) as new:
                pictures.draw(images.original(index), verdict.likeliest).save(new, "PNG")
    return [str(path) for path in paths]


def show_table(verdicts: Sequence[Verdict], drawn: Sequence[str]) -> None:
    """Prints a line for each image: its name, its classes, and the likeliest classes with their probabilities."""
    heading = "classes" if verdicts[0].multi_label else "class"
    rows = [(verdict.name, ", ".join(verdict.classes) or "none", verdict.likeliest) for verdict in verdicts]
    width = max(map(len, ["image", *(name for name, *_ in rows)]))
    class_width = max(map(len, [heading, *(predicted for _, predicted, _ in rows)]))
    print(f"{'image':<{width}}  {heading:<{class_width}}  likeliest")
    for name, predicted, likeliest in rows:
        classes = ", ".join(f"{label} {probability:.2%}" for label, probability in likeliest)
        print(f"{name:<{width}}  {predicted:<{class_width}}  {classes}")
    if drawn:
        print(f"drawn: {len(drawn)} images in {Path(drawn[0]).parent}")


def show_json(verdicts: Sequence[Verdict], drawn: Sequence[str]) -> None:
    """Prints a JSON object for each image: file, class or classes, all probabilities, and the drawn image, if any."""
    for i, verdict in enumerate(verdicts):
        answer = {"file": verdict.name, **verdict.answer, "probabilities": verdict.probabilities}
        print(json.dumps(answer | ({"drawn": drawn[i]} if drawn else {})))


def run() -> None:
    """The console command."""
    usage = "python -m pipeline.predict --run_dir=R [flags] FILE|FOLDER|GLOB|-..."
    command.run(main, define_flags, usage=usage, positional="FILE")


if __name__ == "__main__":
    run()
