"""Gradients of one step, as a file: python -m tests.gpu.gradients FILE.npz MODEL,MODEL... [flags of a training].

The file has an array MODEL:PARAMETER for each parameter of each model.
"""

import dataclasses
import sys

import numpy as np

from pipeline.config import Config, parse_value
from pipeline.process.startup import import_tensorflow


def main(path: str, names: str, *words: str) -> None:
    given = dict(word.removeprefix("--").split("=", 1) for word in words)
    config = Config(**{name: parse_value(name, text) for name, text in given.items()})
    import_tensorflow()
    from pipeline.engine import devices, topology
    from pipeline.engine.assembly import Assembly
    from pipeline.engine.trainer import Trainer

    towers = topology.from_config(config, devices.num_gpus())
    devices.start(towers, config)
    found: dict[str, np.ndarray] = {}
    for name in names.split(","):
        assembly = Assembly(dataclasses.replace(config, model=name), towers)
        gradient = Trainer(assembly, assembly.initial()).gradient(0).by_parameter
        found |= {f"{name}:{parameter}": value for parameter, value in gradient.items()}
    np.savez(path, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
