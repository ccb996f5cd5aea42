"""This pipeline, as its trainer and its evaluator run it."""

import dataclasses
import functools
import math
from typing import NoReturn

from benchmarks.contenders import plain_keras
from benchmarks.task import STEPS_PER_CALL, Task
from benchmarks.turns import Pause, Unavailable
from pipeline import config as configuration
from pipeline.config import PRECISIONS, Config
from pipeline.engine import devices, topology
from pipeline.engine.assembly import Assembly
from pipeline.engine.trainer import Trainer
from pipeline.sources.base import Slice


def train(task: Task, pause: Pause) -> None:
    """The trainer's steps, or evaluations of as many batches, without end."""
    assembly = assemble(task)
    if task.evaluates:
        _evaluate(task, pause, assembly)
    trainer = Trainer(assembly, assembly.initial())
    step = 0
    while True:
        end = step + task.round_steps
        while step < end:
            outcome = trainer.advance(step, min(end, step + assembly.config.steps_per_loop))
            step = int(outcome.next_step)
        pause(float(outcome.loss), plain_keras.num_parameters(assembly.model))


def _evaluate(task: Task, pause: Pause, assembly: Assembly) -> NoReturn:
    evaluator, train = assembly.evaluator(assembly.towers(assembly.initial())), assembly.train
    whole = len(train) // task.batch * task.batch  # examples in full batches
    first = functools.cache(lambda number: Slice(train, 0, number))  # a run evaluates the same split again, too
    while True:
        left, loss = task.batch * task.round_steps, math.nan
        while left:
            part = min(left, whole)
            scores = evaluator(first(part))
            assert scores is not None  # nothing asks for a stop
            left, loss = left - part, scores.loss
        pause(loss, plain_keras.num_parameters(assembly.model))


def assemble(task: Task) -> Assembly:
    """The parts of a run that does the task. Raises Unavailable for settings that this version has not."""
    _check(task)
    # fmt: off
    config = Config(
        source=task.source, data_dir=task.data_dir, image_size=str(task.image_size), model=task.model,
        precision=task.precision, global_batch=task.batch, optimizer="adam",
        learning_rate=task.learning_rate, grad_shards=task.grad_shards, variables=task.variables,
        tower_devices=task.tower_devices, towers=0 if task.tower_devices else 1,
        **{"steps_per_loop": STEPS_PER_CALL, "eval_batch": task.batch} | task.settings)
    # fmt: on
    towers = topology.from_config(config, devices.num_gpus())
    config = configuration.resolve(config, towers.num_towers)
    devices.start(towers, config)
    return Assembly(config, towers)


def _check(task: Task) -> None:
    fields = {field.name for field in dataclasses.fields(Config)}
    if lacking := sorted(set(task.settings) - fields):
        raise Unavailable(f"this version has no --{' and no --'.join(lacking)}")
    if task.precision not in PRECISIONS:
        raise Unavailable(f"this version has no --precision={task.precision}")
