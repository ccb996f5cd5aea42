"""Entry point: python -m pipeline.track --run_dir=R --track=T. Shows a run in MLflow or Weights & Biases."""

from absl.flags import DEFINE_string

from pipeline import tracking
from pipeline.cli import command, flags
from pipeline.errors import UsageError
from pipeline.runs.run_directory import RunDirectory
from pipeline.runs.tracking import Tracking


def define_flags() -> None:
    """Defines the flags of this command."""
    DEFINE_string("run_dir", "", "The directory of the run.")
    flags.define_fields(["track"])


def main() -> None:
    """Sends the trackers what they lack, and prints a line about it. Raises StorageError if one cannot be reached."""
    directory = RunDirectory.existing(flags.value("run_dir"))
    track = flags.value("track")
    if not track:
        raise UsageError(f"no --track was given; name a tracker, as --track={next(iter(tracking.TRACKERS))}")
    tracking.check(track)
    Tracking(directory, track).complete()
    print(f"{directory.path} is up to date in {', '.join(tracking.names(track))}")


def run() -> None:
    """The console command."""
    command.run(main, define_flags, usage="python -m pipeline.track --run_dir=R --track=T [flags]", own_topic="track")


if __name__ == "__main__":
    run()
