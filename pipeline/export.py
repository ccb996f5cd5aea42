"""Entry point: python -m pipeline.export --run_dir=R --format=F. Converts a trained model to another format."""

import json
from pathlib import Path

from absl.flags import DEFINE_enum, DEFINE_string

from pipeline.cli import command, flags
from pipeline.process.startup import import_tensorflow
from pipeline.runs.run_directory import RunDirectory
from pipeline.serving import formats
from pipeline.storage.files import expand

# One tower on the host: an export works on any machine that can read the run, and does not depend on its GPUs.
ON_THE_HOST = {"towers": 1, "tower_devices": "cpu:0"}


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.define_parameters()
    flags.define_for_readers()
    DEFINE_enum("format", "savedmodel", list(formats.FORMATS), "The format of the export.")
    DEFINE_string("output", "", "The directory in which the export is the next version (default: R/exports/FORMAT).")


def main() -> None:
    """Publishes an export. Prints its path and its check for people, and as the last line their JSON."""
    name = flags.value("format")
    directory = RunDirectory.existing(flags.value("run_dir"))
    formats.check(name)
    output = flags.value("output")
    versions = Path(expand(output, "output")) if output else directory.path / "exports" / name
    import_tensorflow()
    from pipeline.runs.saved_run import SavedRun
    from pipeline.serving.exporting import NUM_PROBES, export

    saved = SavedRun(directory, flags.value("parameters"))
    restored = saved.restore(flags.value("checkpoint"))
    exported = export(*saved.assemble(restored, ON_THE_HOST), restored, name, versions)
    manifest = restored.manifest
    print(f"step {manifest.step} as {name}: {exported.path}")
    for note in exported.notes:
        print(note)
    print(f"checked: its probabilities are predict's to {exported.difference:.1g} on {NUM_PROBES} images")
    values = {"step": manifest.step, "format": name, "path": str(exported.path), "difference": exported.difference}
    print(json.dumps({"event": "export", **values, "parameters_sha256": manifest.parameters_sha256}))


def run() -> None:
    """The console command."""
    command.run(main, define_flags, usage="python -m pipeline.export --run_dir=R --format=F [flags]")


if __name__ == "__main__":
    run()
