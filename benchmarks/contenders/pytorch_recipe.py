"""configs/cifar10_fast.flags in plain PyTorch: python -m benchmarks.contenders.pytorch_recipe FILE FLAGS-AS-JSON.

FILE holds the pictures of both splits, as benchmarks.splits writes them. Prints the test accuracy, the seconds of
training and its images a second as JSON: without the first step and the evaluation. Unlike in shards of a batch,
normalization is by all of it.
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from benchmarks.contenders.pytorch_whitened import Whitened
from pipeline.text import flag_values
from pipeline.text.flag_values import Views

EVAL_BATCH = 500
SHIFT = 2  # pixels that --augment=reflect_crop:2 moves a picture by, at most


class Muon:
    """--optimizer=muon for kernels of convolutions, [filters, channels, height, width]."""

    def __init__(self, kernels: Sequence[torch.Tensor], momentum: float, weight_decay: float):
        self._kernels, self._momentum, self._weight_decay = kernels, momentum, weight_decay
        self._moments = [torch.zeros_like(kernel) for kernel in kernels]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Moves the kernels by their gradients, which it forgets."""
        for kernel, moment in zip(self._kernels, self._moments, strict=True):
            moment.mul_(self._momentum).add_(kernel.grad)
            matrix = kernel.grad.add(moment, alpha=self._momentum).flatten(1)
            factor = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            kernel.mul_(1 - rate * self._weight_decay)
            kernel.sub_(_orthogonal(matrix).view_as(kernel), alpha=rate * factor)
            kernel.grad = None


def _orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(3):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if is_tall else x


def augmented(images: torch.Tensor, mirror: torch.Tensor) -> torch.Tensor:
    """Some of the pictures mirrored; each moved by up to SHIFT pixels along both axes, mirrored at the edges."""
    n, _, height, width = images.shape
    mirrored = torch.where(mirror[:, None, None, None], images.flip(-1), images)
    padded = nn.functional.pad(mirrored, [SHIFT] * 4, mode="reflect")
    down, across = torch.randint(2 * SHIFT + 1, [2, n, 1])
    rows, columns = down + torch.arange(height), across + torch.arange(width)
    picked = padded.permute(0, 2, 3, 1)[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)  # in channels-last layout


def train(flags: SimpleNamespace, images: torch.Tensor, labels: torch.Tensor) -> tuple[nn.Module, float]:
    """The network, and the seconds that its steps took, but for the first."""
    model = Whitened(images.shape[1], int(labels.max()) + 1).to(memory_format=torch.channels_last).train()
    muon = Muon([p for p in model.parameters() if p.ndim > 2], flags.momentum, flags.weight_decay)
    offsets = [m.bias for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.requires_grad_(False)
    others = [
        {"params": [model.logits.weight], "peak": flags.learning_rate},
        {"params": offsets, "peak": flags.learning_rate * flags.bias_rate},
    ]
    optimizer = torch.optim.SGD(others, lr=0.1, momentum=flags.momentum, nesterov=True)
    loss_of = nn.CrossEntropyLoss(label_smoothing=flags.label_smoothing)
    slow = {name: value.clone() for name, value in model.state_dict().items() if value.is_floating_point()}
    rule = flag_values.lookahead(flags.lookahead)
    num_epochs = math.ceil(flags.steps * flags.global_batch / len(labels))
    order = torch.cat([torch.randperm(len(labels)) for _ in range(num_epochs)]).split(flags.global_batch)
    mirrored_first, started = torch.rand(len(labels)) < 0.5, time.perf_counter()  # --augment=alternating_flip
    for step in range(flags.steps):
        chosen = order[step]
        epochs = (step * flags.global_batch + torch.arange(flags.global_batch)) // len(labels)
        mirror = mirrored_first[chosen] ^ (epochs % 2 == 1)
        share = 1 - step / flags.steps  # --schedule=linear
        for group in optimizer.param_groups:
            group["lr"] = share * group["peak"]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=flags.precision == "bfloat16"):
            logits = model(augmented(images[chosen], mirror))
        loss_of(logits.float(), labels[chosen]).backward()
        optimizer.step()
        muon.step(share * flags.muon_rate)
        if rule and (step + 1) % rule.period == 0:
            _look_ahead(slow, model, rule.kept * ((step + 1) / flags.steps) ** rule.power)
        started = time.perf_counter() if step == 0 else started
    return model, time.perf_counter() - started


@torch.no_grad()
def _look_ahead(slow: dict[str, torch.Tensor], model: nn.Module, kept: float) -> None:
    """Moves the copies to the present values but for the share that they keep, and the model's values to the copies."""
    present = model.state_dict()
    for name, copy in slow.items():
        present[name].copy_(copy.lerp_(present[name], 1 - kept))


@torch.no_grad()
def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, views: Views) -> float:
    """The share of pictures whose class has the largest logit, by the mean over their views."""
    model.eval()
    parts = zip(images.split(EVAL_BATCH), labels.split(EVAL_BATCH), strict=True)
    return sum(int((_averaged(model, x, views).argmax(1) == y).sum()) for x, y in parts) / len(labels)


def _averaged(model: nn.Module, images: torch.Tensor, views: Views) -> torch.Tensor:
    """--tta: the views' mean, in which the picture in its place counts as much as both that are moved."""

    def mean(*places: torch.Tensor) -> torch.Tensor:
        seen = [*places, *(place.flip(-1) for place in places if views.flip)]
        return torch.stack([model(view) for view in seen]).mean(0)

    if not views.shift:
        return mean(images)
    padded, both = nn.functional.pad(images, [views.shift] * 4, mode="reflect"), 2 * views.shift
    return (mean(images) + mean(padded[..., both:, both:], padded[..., :-both, :-both])) / 2


def main(file: str, flags_json: str) -> None:
    """Trains, evaluates and prints."""
    flags = SimpleNamespace(**json.loads(flags_json))
    torch.manual_seed(flags.seed)
    with np.load(file) as arrays:
        # fmt: off
        images, labels, test_images, test_labels = (
            torch.from_numpy(arrays[name]) for name in ("images", "labels", "test_images", "test_labels"))
        # fmt: on
    images, test_images = (x.permute(0, 3, 1, 2).float() / 255 for x in (images, test_images))
    model, seconds = train(flags, images, labels.long())
    found = accuracy(model, test_images, test_labels.long(), flag_values.views(flags.tta))
    speed = (flags.steps - 1) * flags.global_batch / seconds
    print(json.dumps({"test_accuracy": found, "training_s": seconds, "images_per_second": speed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
