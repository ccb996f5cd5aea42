"""Products of large square matrices through PyTorch, as in product_tensorflow.py."""

import torch

from benchmarks.contenders import pytorch
from benchmarks.task import Task
from benchmarks.turns import Pause


def train(task: Task, pause: Pause) -> None:
    """As `product_tensorflow.train`."""
    shape, kind = (task.batch, task.batch), getattr(torch, task.dtype)
    left, right = (torch.randn(shape, device=pytorch.device(task)).to(kind) for _ in range(2))
    while True:
        for _ in range(task.round_steps):
            product = left @ right
        product[0, 0].item()
        pause()
