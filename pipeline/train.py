"""Entry point: python -m pipeline.train [flags]. Trains a run from its start, or from where it was stopped."""

from pipeline.cli import command, flags
from pipeline.experiments import repeat
from pipeline.process.preemption import Preemption
from pipeline.process.startup import import_tensorflow
from pipeline.workers import discovery


def main() -> None:
    """Checks the flags, then trains; TensorFlow is imported only after every flag has been found good."""
    with Preemption.listening() as preemption:
        asked = flags.configuration()
        discovery.workers(asked)  # what is wrong with them is said now, too
        if asked.repeat > 1:
            repeat.run(asked, preemption)
            return
        import_tensorflow(asked.log_device_placement)
        from pipeline.runs import training

        training.run(asked, preemption)


def run() -> None:
    """The console command."""
    command.run(main, flags.define, usage="python -m pipeline.train [flags]")


if __name__ == "__main__":
    run()
