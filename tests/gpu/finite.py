"""Whether the newest checkpoint of a run is finite, as a line of JSON: python -m tests.gpu.finite RUN_DIR."""

import json
import sys

import numpy as np

from pipeline.process.startup import import_tensorflow
from pipeline.runs.run_directory import RunDirectory


def main(run_dir: str) -> None:
    import_tensorflow()
    from pathlib import Path

    from pipeline.runs.checkpoints import Checkpoints

    newest = Checkpoints(RunDirectory(Path(run_dir)).checkpoints).newest()
    assert newest is not None, "there is no checkpoint"
    bad = [name for name, value in newest.values.items() if not np.isfinite(value).all()]
    print(json.dumps({"step": newest.manifest.step, "not finite": bad}))


if __name__ == "__main__":
    main(sys.argv[1])
