"""Entry point: python -m pipeline.train [flags]. Trains a run from its start or from its newest checkpoint."""

from pipeline.cli import command, flags
from pipeline.experiments import repeat
from pipeline.process.preemption import Preemption
from pipeline.process.startup import import_tensorflow
from pipeline.runs import membership
from pipeline.workers import discovery


def main() -> None:
    """Checks the flags, then trains. TensorFlow is imported after the check, so that a wrong flag is answered fast."""
    with Preemption.listening() as stop:
        asked = flags.configuration()
        discovery.workers(asked)  # so that wrong addresses are reported now, too
        if asked.repeat > 1:
            repeat.run(asked, stop)
            return
        with membership.settled(asked, stop) as place:
            import_tensorflow(asked.log_device_placement)
            from pipeline.runs import dry_run, loop, opening

            if asked.dry_run:
                dry_run.show(asked)
                return
            with opening.opened(asked, stop, place) as run:
                if run:
                    loop.train(run)


def run() -> None:
    """The console command."""
    command.run(main, flags.define, usage="python -m pipeline.train [flags]")


if __name__ == "__main__":
    run()
