"""PyTorch 2: eager, channels-last and compiled, with its data in the device's memory and its fused Adam."""

import contextlib

import torch
from torch import nn

from benchmarks import arrays
from benchmarks.task import Task
from benchmarks.turns import Pause, Unavailable

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def train(task: Task, pause: Pause) -> None:
    """Eager, in PyTorch's own layout."""
    _train(task, pause, torch.contiguous_format)


def channels_last(task: Task, pause: Pause) -> None:
    """Eager, in the layout that convolutions of many libraries prefer."""
    _train(task, pause, torch.channels_last)


def compiled(task: Task, pause: Pause) -> None:
    """Through torch.compile."""
    try:
        _train(task, pause, torch.contiguous_format, compiles=True)
    except torch._dynamo.exc.BackendCompilerFailed as error:  # such as for want of a C++ compiler
        raise Unavailable(f"torch.compile: {str(error).strip().splitlines()[0]}") from error


def device(task: Task) -> torch.device:
    """The task's GPU or CPU, set up to compute as TensorFlow does. Raises Unavailable."""
    torch.set_float32_matmul_precision("high")  # TensorFlow too has TF32 on where a GPU has it
    if task.on_gpu and not torch.cuda.is_available():
        raise Unavailable(f"PyTorch {torch.__version__} sees no GPU; install one that is built for CUDA")
    return torch.device("cuda" if task.on_gpu else "cpu")


class DeepConvnet(nn.Module):
    """5x5x32, pool, 5x5x64, pool, 1024, dropout, logits; for images whose sides are multiples of 4."""

    def __init__(self, channels: int, pixels: int, num_classes: int):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 32, 5, padding=2), nn.Conv2d(32, 64, 5, padding=2)
        self.fc1, self.fc2 = nn.Linear(pixels // 16 * 64, 1024), nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, channels, height, width] -> logits [n, num_classes]."""
        for convolution in (self.conv1, self.conv2):
            x = nn.functional.max_pool2d(nn.functional.relu(convolution(x)), 2)
        x = self.dropout(nn.functional.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)


def _train(task: Task, pause: Pause, layout: torch.memory_format, compiles: bool = False) -> None:
    place = device(task)
    images, labels = _examples(task, place)
    channels, height, width = images.shape[1:]
    model = DeepConvnet(channels, height * width, int(labels.max()) + 1).to(place, memory_format=layout)
    images = images.contiguous(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), task.learning_rate, fused=True)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    forward = torch.compile(model) if compiles else model
    scaler = torch.amp.GradScaler(place.type, enabled=task.precision == "float16")
    while True:
        for _ in range(task.round_steps):
            chosen = torch.randint(len(labels), (task.batch,), device=place)
            loss = _step(task, forward, optimizer, scaler, images[chosen], labels[chosen])
        pause(loss.item(), num_parameters)


def _step(task: Task, model, optimizer, scaler, images, labels) -> torch.Tensor:
    optimizer.zero_grad(set_to_none=True)
    with _autocast(task, images.device.type):
        loss = nn.functional.cross_entropy(model(images), labels)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    return loss


def _autocast(task: Task, kind: str) -> contextlib.AbstractContextManager:
    return torch.autocast(kind, _DTYPES[task.precision]) if task.precision in _DTYPES else contextlib.nullcontext()


def _examples(task: Task, place: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """All images [n, channels, height, width] float32 in [0, 1] and labels, on the device."""
    images, labels = (torch.from_numpy(array) for array in arrays.read(task.arrays))
    return images.permute(0, 3, 1, 2).to(place, torch.float32) / 255, labels.to(place, torch.long)
