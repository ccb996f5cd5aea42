"""This pipeline, as its trainer runs it."""

from benchmarks.task import STEPS_PER_CALL, Task
from benchmarks.turns import Pause
from pipeline import config as configuration
from pipeline.config import Config
from pipeline.engine import devices, topology
from pipeline.engine.assembly import Assembly
from pipeline.engine.trainer import Trainer


def train(task: Task, pause: Pause) -> None:
    """The trainer's steps, without end."""
    assembly = assemble(task)
    trainer = Trainer(assembly, assembly.initial())
    step = 0
    while True:
        for _ in range(task.round_steps // STEPS_PER_CALL):
            outcome = trainer.advance(step, step + STEPS_PER_CALL)
            step += STEPS_PER_CALL
        pause(float(outcome.loss), assembly.model.count_params())


def assemble(task: Task) -> Assembly:
    """The parts of a run that does the task."""
    # fmt: off
    config = Config(
        source=task.source, data_dir=task.data_dir, image_size=task.image_size, model=task.model,
        precision=task.precision, global_batch=task.batch, optimizer="adam", learning_rate=task.learning_rate,
        steps_per_loop=STEPS_PER_CALL, grad_shards=task.grad_shards, variables=task.variables,
        tower_devices=task.tower_devices, towers=0 if task.tower_devices else 1)
    # fmt: on
    towers = topology.from_config(config, devices.num_gpus())
    config = configuration.resolve(config, towers.num_towers)
    devices.start(towers, config)
    return Assembly(config, towers)
