"""Whether workers may train together, judged by the report of each. PURE."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import ExitCode
from pipeline.text.tables import aligned
from pipeline.workers import fingers
from pipeline.workers.versions import REMEDIES

CLOCKS_S = 2.0  # by which clocks may differ
OK = "ok"
# A fault of the way to a worker -> the exit code, and the remedy.
WAYS = {
    "unknown": (ExitCode.USAGE, "its name does not resolve; correct the address, or DNS, or /etc/hosts"),
    "refused": (ExitCode.PEER_LOST, "TCP is refused: no worker listens there; start it, and see what it says itself"),
    "unreachable": (ExitCode.PEER_LOST, "TCP does not get through; check the host, the network and its firewalls"),
    "strange": (
        ExitCode.USAGE,
        "another program answers there, or a worker with another PIPELINE_JOB_SECRET; mend that, or take another port",
    ),
    "no UDP": (ExitCode.PEER_LOST, "UDP does not get through; let it through as TCP, for the watchdogs' pulses"),
}


@dataclasses.dataclass(frozen=True)
class Facts:
    """A worker's account of itself."""

    host: str
    addresses: Sequence[str]  # as `listed` gives them
    versions: Mapping[str, str]  # of Python, the libraries and this project
    gpus: int
    flags: Mapping[str, Any]  # those that all workers must share
    problems: Sequence[tuple[int, str]] = ()  # of its own host: exit code and line
    exposed: Sequence[str] = ()  # ADDRESS:PORT beyond the loopback at which TensorFlow will listen there
    keyed: bool = False  # whether its messages are sealed with a secret of the job


@dataclasses.dataclass(frozen=True)
class Report:
    """A worker's account of itself, and its findings about the others, by their indices."""

    facts: Facts
    ways: Mapping[int, str]  # OK, or a key of WAYS
    clocks: Mapping[int, float]  # seconds by which a worker's clock is ahead of this one's
    sees_run_dir: bool  # whether its run directory is the chief's


Problem = tuple[int, str]  # exit code; the fault and its remedy, in one line


def problems(addresses: Sequence[str], reports: Mapping[int, Report]) -> list[Problem]:
    """All faults, causes before effects. reports: by worker; one of worker 0, the chief, is there."""
    found = [problem for k in sorted(reports) for problem in reports[k].facts.problems]
    found += unreached(addresses, reports) + _silent(addresses, reports)
    chief = reports[0]
    for k in sorted(set(reports) - {0}):
        name, facts = _name(k, reports[k].facts), reports[k].facts
        found += _differences(name, facts, chief.facts)
        ahead = _ahead(k, reports)
        if abs(ahead) > CLOCKS_S:
            text = (
                f"the clock of {name} is {ahead:+.1f} s from the chief's, more than {CLOCKS_S:g} s; set it, as by NTP"
            )
            found.append((ExitCode.USAGE, text))
    return found


def _ahead(k: int, reports: Mapping[int, Report]) -> float:
    """Seconds by which a worker's clock is ahead of the chief's, as the chief found, or as it found itself."""
    return reports[0].clocks.get(k, 0.0 - reports[k].clocks.get(0, 0.0))


def unreached(addresses: Sequence[str], reports: Mapping[int, Report]) -> list[Problem]:
    """The workers that cannot be reached, how, and from where."""
    found: list[Problem] = []
    for k, address in enumerate(addresses):
        failed = {j: report.ways[k] for j, report in reports.items() if report.ways.get(k, OK) != OK}
        for way in WAYS:
            askers = [_name(j, reports[j].facts) for j in sorted(failed) if failed[j] == way]
            if askers:
                code, remedy = WAYS[way]
                found.append((code, f"worker {k} at {address} cannot be reached from {', '.join(askers)}: {remedy}"))
    return found


def _silent(addresses: Sequence[str], reports: Mapping[int, Report]) -> list[Problem]:
    """The workers that told the chief nothing, and that can be reached or that nobody asked who told something."""
    ways = {k: way for report in (*reports.values(), reports[0]) for k, way in report.ways.items()}
    silent = [k for k in range(len(addresses)) if k not in reports and ways.get(k, OK) == OK]
    return [(ExitCode.PEER_LOST, f"worker {k} at {addresses[k]} {_silence(k in ways, addresses)}") for k in silent]


def _silence(is_reached: bool, addresses: Sequence[str]) -> str:
    if not is_reached:
        return "told the chief nothing, nor did those that ask it; start it, and see what it says itself"
    return (
        f"answers, but does not reach the chief at {addresses[0]}; see what it says itself, and let TCP through to the "
        "chief too"
    )


def _differences(name: str, facts: Facts, chief: Facts) -> list[Problem]:
    """The differences between a worker and the chief that must not be."""
    pairs = {_version(key): (facts.versions.get(key), value) for key, value in chief.versions.items()}
    remedies = {_version(key): remedy for key, remedy in REMEDIES.items()}
    pairs |= {f"its --{key}": (facts.flags.get(key), value) for key, value in chief.flags.items()}
    pairs["its list of workers"] = (",".join(facts.addresses), ",".join(chief.addresses))
    if not (chief.flags.get("towers") or chief.flags.get("tower_devices")):
        pairs["its number of GPUs"] = (str(facts.gpus), str(chief.gpus))
    return [
        (
            ExitCode.USAGE,
            f"{name} differs from the chief: {what} is {_shown(its)}, the chief's {_shown(chiefs)}; "
            f"{remedies.get(what, 'make them equal')}",
        )
        for what, (its, chiefs) in pairs.items()
        if its != chiefs
    ]


def listed(addresses: Sequence[str]) -> Sequence[str]:
    """The addresses of few workers; of many their number and a hash, so that a report is no longer for more of them."""
    if len(addresses) <= fingers.ALL_TO_ALL:
        return addresses
    return [f"{len(addresses)} of SHA-256 {hashlib.sha256(','.join(addresses).encode()).hexdigest()[:16]}"]


def _version(key: str) -> str:
    """How a key of `versions` is named."""
    return f"its {key}" if key in REMEDIES else f"its version of {key}"


def _shown(value: str | None) -> str:
    return "none" if value == "" else str(value)


def remarks(reports: Mapping[int, Report]) -> list[str]:
    """Lines that are good to know, and no problems."""
    told = {name: version for name, version in reports[0].facts.versions.items() if version}
    said = ["the chief has " + ", ".join(f"{name} {version}" for name, version in told.items())]
    apart = [_name(k, reports[k].facts) for k in sorted(reports) if not reports[k].sees_run_dir]
    if apart:
        said.append(
            f"the run directory of {', '.join(apart)} is not the chief's: the chief's state is sent there at every "
            "start, and logs written there stay there"
        )
    return said + _exposures(reports)


def _exposures(reports: Mapping[int, Report]) -> list[str]:
    """Lines about workers that others can reach, with the remedy."""
    exposed = {k: report.facts.exposed for k, report in sorted(reports.items()) if report.facts.exposed}
    said = []
    if exposed:
        listening = "; ".join(f"{_name(k, reports[k].facts)} at {', '.join(found)}" for k, found in exposed.items())
        said.append(
            f"listening on a network: {listening}: TensorFlow's runtime asks nobody for a password, so that whoever "
            "reaches these ports can do there what this account can; let only the job's hosts reach them "
            "(launch/ssh.sh --dry_run prints a firewall's rules, launch/kubernetes.yaml has a NetworkPolicy)"
        )
    if len(reports) > 1 and not all(report.facts.keyed for report in reports.values()):
        said.append(
            "the workers' own messages are not sealed: start the job with a launcher, or give all workers the same "
            "secret as PIPELINE_JOB_SECRET"
        )
    return said


def table(addresses: Sequence[str], reports: Mapping[int, Report]) -> list[str]:
    """One row a worker, for people."""
    by_all = "by all" if len(addresses) <= fingers.ALL_TO_ALL else "by all who ask"
    rows = [("worker", "address", "host", "reached", "clock", "run directory", "GPUs")]
    for k, address in enumerate(addresses or ["-"]):
        ways = {report.ways[k] for report in reports.values() if k in report.ways} - {OK}
        reached = ", ".join(sorted(ways)) or by_all
        if k in reports:
            report, facts = reports[k], reports[k].facts
            clock = f"{_ahead(k, reports):+.2f} s"
            directory = "the chief's" if report.sees_run_dir else "its own"
            rows.append((str(k), address, facts.host, reached, clock, directory, str(facts.gpus)))
        else:
            rows.append((str(k), address, "?", reached, "?", "?", "?"))
    return aligned(rows)


def _name(index: int, facts: Facts) -> str:
    return f"worker {index} ({facts.host})"


def read(told: Any) -> Report | None:
    """The report that a worker sent; None if one field is missing or of another type."""
    try:
        facts = Facts(**told["facts"])
        ways = {int(k): str(way) for k, way in told["ways"].items()}
        clocks = {int(k): float(ahead) for k, ahead in told["clocks"].items()}
        found = [(ExitCode(code), str(text)) for code, text in facts.problems]
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
    lists, dictionaries = (facts.addresses, facts.exposed), (facts.versions, facts.flags)
    if not (
        isinstance(facts.host, str)
        and type(facts.gpus) is int
        and all(isinstance(value, list) and all(isinstance(item, str) for item in value) for value in lists)
        and all(isinstance(value, dict) for value in dictionaries)
    ):
        return None
    return Report(dataclasses.replace(facts, problems=found), ways, clocks, bool(told.get("sees_run_dir")))
