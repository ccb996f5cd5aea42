"""Entry point: python -m pipeline.predict --run_dir=R FILE... Names the class of images, with probabilities."""

import json

from absl.flags import DEFINE_enum

from pipeline import command, flags
from pipeline.exits import UsageError
from pipeline.run_directory import RunDirectory

SHOWN_CLASSES = 3


def define_flags() -> None:
    flags.define_for_readers(computes=True)
    DEFINE_enum("format", "table", ["table", "json"], "A table for people, or one JSON object a line.")


def main(files: list[str]) -> None:
    """Prints a line for each image, in the order of the files."""
    if not files:
        raise UsageError("no FILE was given; name PNG, JPEG or .npy files after the flags")
    execution = flags.execution()
    directory = RunDirectory.existing(flags.value("run_dir"))
    command.import_tensorflow()
    from pipeline import images
    from pipeline.evaluation import probabilities
    from pipeline.saved_run import SavedRun

    saved = SavedRun(directory)
    restored = saved.restore(flags.value("checkpoint"))
    assembly, towers = saved.assemble(restored, execution)
    names, batch = images.read(files, assembly.spec.image_shape)
    rows = probabilities(assembly.model, towers, batch, assembly.config.eval_batch)
    show = show_json if flags.value("format") == "json" else show_table
    show(names, rows.tolist(), assembly.spec.class_names)


def show_table(names: list[str], rows: list[list[float]], class_names: tuple[str, ...]) -> None:
    """One line an image: its name, its class, and the likeliest classes with their probabilities."""
    width, class_width = max(map(len, ["image", *names])), max(map(len, ["class", *class_names]))
    print(f"{'image':<{width}}  {'class':<{class_width}}  likeliest")
    for name, row in zip(names, rows, strict=True):
        ranked = sorted(zip(row, class_names, strict=True), key=lambda pair: -pair[0])[:SHOWN_CLASSES]
        likeliest = ", ".join(f"{label} {probability:.2%}" for probability, label in ranked)
        print(f"{name:<{width}}  {ranked[0][1]:<{class_width}}  {likeliest}")


def show_json(names: list[str], rows: list[list[float]], class_names: tuple[str, ...]) -> None:
    """One JSON object a line: file, class, and the probability of every class."""
    for name, row in zip(names, rows, strict=True):
        best = class_names[row.index(max(row))]
        print(json.dumps({"file": name, "class": best, "probabilities": dict(zip(class_names, row, strict=True))}))


def run() -> None:
    """The console command."""
    command.run(main, define_flags, usage="python -m pipeline.predict --run_dir=R [flags] FILE...", positional="FILE")


if __name__ == "__main__":
    run()
