"""Makes the README's pictures of TensorBoard: python -m tests.browser.screenshots [DIRECTORY] [flags of pipeline.train]

Trains two runs (one of them stopped in the middle and resumed), opens TensorBoard on them in Chromium, and writes
curves.png, errors.png, graph.png and hparams.png to the directory (default: docs).
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser import runs
from tests.browser.dashboards import Dashboards
from tests.support.tensorboards import TensorBoard

STEPS = 900
COLOURS = 128  # of a palette: enough for a page, and a quarter of the bytes


def main(docs: Path, *flags: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        made = runs.make(Path(directory), STEPS, *flags)
        server = TensorBoard(Path(made.name), cwd=made.parent)  # the page shows the directory as it was given
        try:
            for run in ("adam", "momentum"):
                server.points(f"{run}/tensorboard/test", "curves/accuracy", [STEPS])  # all is loaded
            docs.mkdir(parents=True, exist_ok=True)
            take(server.url, docs)
        finally:
            server.end()


def take(url: str, docs: Path) -> None:
    """One picture a dashboard."""
    with Dashboards.of(url, width=1500, height=960) as page:
        page.charts()
        page.only("curves|optimization|speed/(images|restarts|time_(compute|input|evaluation|saving))")
        save(page, docs / "curves.png")
    with Dashboards.of(url, width=1120, height=1100) as page:
        page.pictures()
        page.only_runs("adam/")
        save(page, docs / "errors.png")
    with Dashboards.of(url, width=1300, height=900) as page:
        page.boxes()
        page.unfold("tower_1")
        save(page, docs / "graph.png")
    with Dashboards.of(url, width=2200, height=480) as page:
        page.hparams()
        save(page, docs / "hparams.png")


def save(page: Dashboards, path: Path) -> None:
    """The page as it stands once what moves has come to rest."""
    page.rest()
    page.save(path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(COLOURS).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else runs.PROJECT / "docs"), *sys.argv[2:])
