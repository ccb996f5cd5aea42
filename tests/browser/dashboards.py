"""TensorBoard's dashboards in a real Chromium, as a person would see them; needs playwright and a Chromium to drive."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT_MS = 60_000  # for a dashboard to be drawn, on a machine that is busy with other things
# All text of an element, that in the shadow trees of its parts included, one piece a line.
_TEXT = """element => {
    const pieces = node => node.nodeType == Node.TEXT_NODE ? [node.data.trim()]
        : ["STYLE", "SCRIPT", "TEMPLATE"].includes(node.nodeName) ? []
        : [node.shadowRoot, ...node.childNodes].filter(part => part).flatMap(pieces);
    return pieces(element).filter(piece => piece).join("\\n");
}"""


class Dashboards:
    """One page, on one dashboard at a time. What the methods return is read from the page."""

    def __init__(self, page: Page, url: str):
        self._page, self._url = page, url

    @classmethod
    @contextlib.contextmanager
    def of(cls, url: str, width: int = 1280, height: int = 900) -> Iterator["Dashboards"]:
        """Opens a browser on a TensorBoard, with a window of these pixels."""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM)
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(WAIT_MS)
            yield cls(page, url)
            browser.close()

    def _open(self, dashboard: str, what: str) -> Locator:
        """Goes to a dashboard; returns the elements `what`, once there is one."""
        self._page.goto("about:blank")  # a change of the fragment alone would not load the page anew
        self._page.goto(f"{self._url}/#{dashboard}")
        found = self._page.locator(what)
        found.first.wait_for()
        self._page.wait_for_load_state("networkidle")
        return found

    def charts(self) -> dict[str, str]:
        """All text of each chart (its table of runs and values, too) in the groups that are open first, by its tag."""
        cards = self._open("timeseries", "scalar-card")
        cards.locator("tb-data-table-content-row").first.wait_for()
        return {"".join(card.evaluate(_TEXT).splitlines()[:2]): card.evaluate(_TEXT) for card in cards.all()}

    def groups(self) -> list[str]:
        """The names of the groups of cards, in their order."""
        groups = self._open("timeseries", "button[aria-label='Expand group']")
        return [group.evaluate(_TEXT).splitlines()[0] for group in groups.all()]

    def only(self, tags: str) -> None:
        """Leaves, on the dashboard of charts, those whose tags match; and takes the pane of settings away."""
        self._page.get_by_role("button", name="Toggle settings side pane").click()
        self._page.locator("input[placeholder='Filter tags (regex)']").fill(tags)
        self._page.keyboard.press("Escape")  # the suggestions
        self._page.get_by_text("Tags matching filter").wait_for()

    def only_runs(self, names: str) -> None:
        """Leaves, on a dashboard of pictures, those of runs whose names match."""
        self._page.get_by_label("Write a regex to filter runs").fill(names)

    def pictures(self) -> dict[str, list[int]]:
        """Width and height in pixels of each picture that was loaded, by the text that stands with it."""
        loaders = self._open("images", "tf-image-loader")
        loaders.locator("img").first.wait_for()
        sizes = "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
        return {loader.evaluate(_TEXT): loader.locator("img").evaluate(sizes) for loader in loaders.all()}

    def histograms(self) -> dict[str, int]:
        """The number of outlines that were drawn in each histogram, by the text that stands with it."""
        loaders = self._open("histograms", "tf-histogram-loader")
        loaders.locator("path.outline, path").first.wait_for()
        return {loader.evaluate(_TEXT): loader.locator("path").count() for loader in loaders.all()}

    def texts(self) -> list[str]:
        """Every text that is shown, with its tag."""
        loaders = self._open("text", "tf-text-loader")
        self._page.locator("tf-markdown-view").first.wait_for()
        return [loader.evaluate(_TEXT) for loader in loaders.all()]

    def boxes(self) -> dict[str, str]:
        """The colours of the towers' and the host's boxes in the graph, by name, as they are by device."""
        self._open("graphs", "g.node.meta")
        self._page.get_by_text("Device", exact=True).first.click()
        boxes = self._page.locator("g.core g.node.meta")
        # A box's fill is a gradient, with a colour for each device and as much of it as lies there.
        colours = """box => {
            const fill = box.querySelector('.nodecolortarget').style.fill.match(/#[^"')]+/)[0];
            const stops = [...box.getRootNode().querySelectorAll(fill + ' stop')];
            return [...new Set(stops.map(stop => getComputedStyle(stop).stopColor))].join();
        }"""
        return {box.get_attribute("data-name"): box.evaluate(colours) for box in boxes.all()}

    def unfold(self, box: str) -> None:
        """Opens one of the graph's boxes."""
        self._page.locator(f"g.node.meta[data-name='{box}'] .nodecolortarget").dblclick()
        self._page.locator("#scene #root").wait_for()
        size = self._page.viewport_size
        self._page.mouse.click(size["width"] - 40, size["height"] - 200)  # beside it, so that it is not marked

    def hparams(self) -> str:
        """All text of the HParams table."""
        table = self._open("hparams", "tf-hparams-table-view")
        table.locator("vaadin-grid-cell-content").first.wait_for()
        return table.evaluate(_TEXT)

    def rest(self) -> None:
        """Waits for what moves to come to rest."""
        self._page.wait_for_load_state("networkidle")
        self._page.wait_for_timeout(3000)

    def save(self, path: Path) -> None:
        """A picture of the page as it stands."""
        self._page.screenshot(path=str(path))
