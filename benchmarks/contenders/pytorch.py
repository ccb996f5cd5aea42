"""PyTorch 2: eager, channels-last, compiled and in CUDA graphs, its data in the device's memory, and its fused Adam."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks import arrays
from benchmarks.contenders.pytorch_models import DeepConvnet, ResNet50
from benchmarks.contenders.pytorch_whitened import Whitened
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
    _train_compiled(task, pause, torch.contiguous_format)


def compiled_channels_last(task: Task, pause: Pause) -> None:
    """Through torch.compile, in that layout."""
    _train_compiled(task, pause, torch.channels_last)


def compiled_cuda_graphs(task: Task, pause: Pause) -> None:
    """Through torch.compile(mode="reduce-overhead"), in that layout: forward and backward are CUDA graphs."""
    _check_gpu(task)
    _train_compiled(task, pause, torch.channels_last, mode="reduce-overhead")


def step_graph(task: Task, pause: Pause) -> None:
    """The whole step, update included, in one CUDA graph, in that layout."""
    _check_gpu(task)
    _train(task, pause, torch.channels_last, whole_graph=True)


def _check_gpu(task: Task) -> None:
    if not task.on_gpu:
        raise Unavailable("CUDA graphs need a GPU")


def _train_compiled(task: Task, pause: Pause, layout: torch.memory_format, **options: Any) -> None:
    try:
        _train(task, pause, layout, lambda model: torch.compile(model, **options))
    except torch._dynamo.exc.BackendCompilerFailed as error:  # such as for want of a C++ compiler
        raise Unavailable(f"torch.compile: {str(error).strip().splitlines()[0]}") from error


def device(task: Task) -> torch.device:
    """The task's GPU or CPU, set up for its precision. Raises Unavailable."""
    allows_tf32 = task.precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allows_tf32
    torch.backends.cudnn.benchmark = True
    if task.on_gpu and not torch.cuda.is_available():
        raise Unavailable(f"PyTorch {torch.__version__} sees no GPU; install one that is built for CUDA")
    return torch.device("cuda" if task.on_gpu else "cpu")


def _train(
    task: Task,
    pause: Pause,
    layout: torch.memory_format,
    compiled: Callable[[nn.Module], Callable] = lambda model: model,
    whole_graph: bool = False,
) -> None:
    place = device(task)
    images, labels = _examples(task, place)
    model = _model(task, images, labels).to(place, memory_format=layout)
    images = images.contiguous(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), task.learning_rate, fused=True, capturable=whole_graph)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    assert num_parameters == (task.num_parameters or num_parameters), f"{num_parameters}, not {task.num_parameters}"
    forward = compiled(model)
    scaler = torch.amp.GradScaler(place.type, enabled=task.precision == "float16")

    def step() -> torch.Tensor:
        chosen = torch.randint(len(labels), (task.batch,), device=place)
        return _step(task, forward, optimizer, scaler, images[chosen], labels[chosen])

    step = _captured(step) if whole_graph else step
    while True:
        for _ in range(task.round_steps):
            loss = step()
        pause(loss.item(), num_parameters)


def _captured(step: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    """The step as a CUDA graph, after some steps on another stream, as PyTorch's documentation has it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replayed() -> torch.Tensor:
        graph.replay()
        return loss

    return replayed


def _model(task: Task, images: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    channels, height, width = images.shape[1:]
    num_classes = int(labels.max()) + 1
    if task.model == "resnet50":
        return ResNet50(channels, num_classes)
    if task.model == "whitened":
        return Whitened(channels, num_classes)
    return DeepConvnet(channels, height * width, num_classes)


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
