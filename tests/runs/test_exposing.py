"""--metrics_port serves the figures of a launch; a real Prometheus reads them, and knows the alerts and charts."""

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from small_run import INTRA_OP_THREADS

import pipeline
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.process.preemption import Preemption
from pipeline.runs import exposing, loop, opening
from pipeline.runs.run_directory import RunDirectory
from pipeline.workers import ports

MONITORING = Path(__file__).parents[2] / "launch" / "monitoring"
FLAGS = {
    "source": "fake:60", "model": "models_for_tests:linear", "optimizer": "sgd", "global_batch": 6, "steps": 8,
    "grad_shards": 2, "towers": 2, "checkpoint_every": 4, "eval_every": 4, "log_every": 2, "eval_batch": 10,
    "steps_per_loop": 2, "intra_op_threads": INTRA_OP_THREADS, "quiet": True,
}  # fmt: skip

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason="needs prometheus and promtool on PATH"
)


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()


def read(page: str) -> dict:
    """(name, the labels' values) -> value."""
    families = text_string_to_metric_families(page)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """A second launch of a run, held at its end, while its figures are served: (port, run directory)."""
    run_dir, [port] = tmp_path_factory.mktemp("exposed") / "run", ports.free(1)
    asked = {**FLAGS, "run_dir": str(run_dir)}
    with opening.opened(Config(**asked), Preemption()):
        pass  # a launch that ended at once
    with opening.opened(Config(**asked, metrics_port=port), Preemption()) as run:
        loop.train(run)
        run.clock.count(10)
        yield port, run_dir


def test_the_figures_are_those_of_the_run(launch):
    port, run_dir = launch
    page, now = read(scrape(port)), time.time()
    events = RunDirectory(run_dir).history().events
    last = {name: next(e for e in reversed(events) if e["event"] == name) for name in
            ("train", "validation", "test", "checkpoint", "pace")}  # fmt: skip
    assert (page["pipeline_step",], page["pipeline_steps",], page["pipeline_restarts_total",]) == (8, 8, 1)
    for split in ("train", "validation", "test"):
        assert page["pipeline_loss", split] == last[split]["loss"]
        assert page["pipeline_accuracy", split] == last[split]["accuracy"]
        assert page["pipeline_reported_step", split] == last[split]["step"] == 8
    for name in ("learning_rate", "gradient_norm", "images_per_second"):
        assert page[f"pipeline_{name}",] == last["train"][name]
    assert page["pipeline_images_total",] == 6 * 6 + 10  # but for those of the first call, of 2 steps
    assert page["pipeline_checkpoint_step",] == 8 and page["pipeline_checkpoint_bytes",] == last["checkpoint"]["bytes"]
    assert abs(page["pipeline_checkpoint_age_seconds",] - (now - last["checkpoint"]["time"])) < 5
    assert page["pipeline_worker_step_seconds", "0", "compute"] == last["pace"]["compute"][0]
    assert page["pipeline_worker_lag_seconds", "0"] == 0
    assert page["pipeline_memory_peak_bytes", "host"] >= page["pipeline_memory_bytes", "host"] > 1 << 20
    assert page["pipeline_run_info", pipeline.__version__, "fake:60", FLAGS["model"], str(run_dir)] == 1
    assert page["pipeline_rollbacks_total",] == page["pipeline_rechecks_total",] == 0


def test_the_lag_of_a_worker_is_what_it_takes_more_than_the_median_one():
    pace = {"compute": [1.0, 1.5, 1.25], "input": [0.5, 0.25, 0.75], "wait": [0.5, 0.0, 0.25]}
    metrics = {metric.name: dict((labels["worker"], v) for labels, v in metric.samples if "part" not in labels)
               for metric in exposing._of_pace(pace)}  # fmt: skip
    assert metrics["pipeline_worker_lag_seconds"] == {"0": -0.25, "1": 0.0, "2": 0.25}


def test_the_seconds_of_phases_never_fall_and_add_up(launch):
    port, _ = launch
    pages = [read(scrape(port)) for _ in range(2)]
    seconds = [{key: v for key, v in page.items() if key[0] == "pipeline_phase_seconds_total"} for page in pages]
    assert {phase for _, phase in seconds[0]} >= {"compute", "input", "saving", "evaluation", "start", "other"}
    assert all(seconds[1][key] >= value >= 0 for key, value in seconds[0].items())
    assert sum(seconds[1].values()) <= pages[1]["pipeline_launch_seconds",]


def test_a_port_in_use_is_told_before_anything_is_done(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        asked = Config(**FLAGS, run_dir=str(tmp_path / "run"), metrics_port=port)
        taken = rf"metrics_port={port} is taken \(by process \d+ \(.*\)\); give another"
        with pytest.raises(UsageError, match=taken), opening.opened(asked, Preemption()):
            raise AssertionError("it was opened")
    assert not (tmp_path / "run").exists()


def test_an_address_of_another_machine_is_told(tmp_path):
    asked = Config(**FLAGS, run_dir=str(tmp_path / "run"), metrics_port=ports.free(1)[0], metrics_host="192.0.2.1")
    elsewhere = r"metrics_host=192.0.2.1 is no address of this machine"
    with pytest.raises(UsageError, match=elsewhere), opening.opened(asked, Preemption()):
        raise AssertionError("it was opened")


# --- Prometheus ---


def expressions() -> list[str]:
    """What the charts ask for, as Grafana asks it."""
    panels = json.loads((MONITORING / "grafana.json").read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    known = {"$job": "pipeline", "$instance": ".*", "$__rate_interval": "1m"}
    return [re.sub("|".join(map(re.escape, known)), lambda name: known[name[0]], expr) for expr in found]


class Prometheus:
    """A server on this machine that scrapes one port, with the project's alert rules."""

    def __init__(self, directory: Path, scraped: int):
        [port] = ports.free(1)
        text = (MONITORING / "prometheus.yaml").read_text().replace("127.0.0.1:9400", f"127.0.0.1:{scraped}")
        (directory / "prometheus.yaml").write_text(text.replace("15s", "200ms"))
        shutil.copy(MONITORING / "alerts.yaml", directory)
        command = ["prometheus", f"--config.file={directory}/prometheus.yaml", f"--storage.tsdb.path={directory}/data",
                   f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
        self.process = subprocess.Popen(command, stderr=(directory / "log").open("w"))
        self._address = f"http://127.0.0.1:{port}/api/v1/query?query="

    def ask(self, expr: str) -> list[dict]:
        """The answer to a query; an HTTPError if it makes no sense."""
        with urllib.request.urlopen(self._address + urllib.parse.quote(expr), timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def until(self, expr: str) -> list[dict]:
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            try:
                if found := self.ask(expr):
                    return found
            except urllib.error.URLError:
                assert self.process.poll() is None, "Prometheus ended"
            time.sleep(0.1)
        raise AssertionError(f"no answer to {expr}")


@pytest.fixture(scope="module")
def prometheus(launch, tmp_path_factory):
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), launch[0])
    yield server
    server.process.terminate()
    server.process.wait()


@needs_prometheus
def test_prometheus_scrapes_it_and_every_chart_shows_something(launch, prometheus):
    prometheus.until("count_over_time(pipeline_step[1m]) > 2")  # for rates
    [step] = prometheus.ask("pipeline_step")
    assert (step["value"][1], step["metric"]["job"]) == ("8", "pipeline")
    page = read(scrape(launch[0]))
    [loss] = prometheus.ask('pipeline_loss{split="test"}')
    assert float(loss["value"][1]) == page["pipeline_loss", "test"]
    empty = {expr for expr in expressions() if not prometheus.ask(expr)}
    assert empty == {'pipeline_worker_silence_seconds{job="pipeline", instance=~".*"}'}  # there is one worker
    assert subprocess.run(["promtool", "check", "metrics"], input=scrape(launch[0]).encode()).returncode == 0


@needs_prometheus
def test_prometheus_knows_the_alerts_and_a_good_run_raises_none(prometheus):
    rules = subprocess.run(["promtool", "check", "rules", MONITORING / "alerts.yaml"], capture_output=True, text=True)
    assert rules.returncode == 0 and "9 rules found" in rules.stdout, rules.stderr
    prometheus.until("count_over_time(pipeline_step[1m]) > 2")
    assert prometheus.ask("ALERTS") == []


@needs_prometheus
def test_every_alert_is_raised_by_what_it_is_for(tmp_path):
    shutil.copy(MONITORING / "alerts.yaml", tmp_path)
    shutil.copy(Path(__file__).with_name("alerts_test.yaml"), tmp_path)
    tried = subprocess.run(["promtool", "test", "rules", tmp_path / "alerts_test.yaml"], capture_output=True, text=True)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    text = (tmp_path / "alerts_test.yaml").read_text()
    assert set(re.findall(r"alert: (\w+)", (MONITORING / "alerts.yaml").read_text())) == set(
        re.findall(r"alertname: (\w+)", text)
    )
