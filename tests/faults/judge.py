"""Whether a command did right by what it was given: the correct result, or one line with its code, and nothing lost."""

import json
import re
from collections import Counter
from pathlib import Path

from pipeline.errors import ExitCode, error_line
from tests.faults.world import AFTER, BEFORE, Ended, Try, Undisturbed

Paths = dict[bytes, str]  # of world.snapshot
CODES = (ExitCode.USAGE, ExitCode.BAD_DATA, ExitCode.STORAGE, ExitCode.PREEMPTED, ExitCode.PEER_LOST)
REMARKS = ("WARNING: ", "passed over: ", "skipped: ")  # lines on stderr before the last that are ours
WRITTEN = ("run/metrics.jsonl", "run/lock", "run/config.flags", "run/placement.txt", "run/stop", "run/filler")


def faults(tried: Try, ended: Ended, before: Paths, after: Paths, known: Undisturbed) -> list[str]:
    """What is wrong with an ending; nothing, if all is well."""
    wrong = [*_ending(tried, ended), *_lost(tried, ended, before, after)]
    if ended.code == 0 and not wrong and not tried.streams.get("stdout"):
        wrong += _result(tried, ended, known)
    return wrong


def _ending(tried: Try, ended: Ended) -> list[str]:
    """The exit code, and the lines on stderr."""
    wrong = []
    text = ended.err + ended.out
    if "Traceback" in text or "HANGS" in ended.err:
        wrong.append("traceback" if "Traceback" in text else "hangs")
    lines = ended.err.splitlines()
    if tried.sent and ended.code == -tried.sent[0]:
        return wrong  # it came before the command listened, or it was SIGKILL
    if ended.code == 0:
        wrong += [f"said on stderr: {line}" for line in lines if not line.startswith(REMARKS)]
    elif ended.code not in CODES:
        wrong.append(f"ended with {ended.code}")
    elif ended.heard or lines:
        start = error_line(ended.code, "")
        if not lines or not lines[-1].startswith(start.rstrip()):
            wrong.append(f"no line that begins with '{start}'")
        wrong += [f"said more on stderr: {line}" for line in lines[:-1] if not line.startswith(REMARKS)]
    return wrong


def _lost(tried: Try, ended: Ended, before: Paths, after: Paths) -> list[str]:
    """Files that are gone or were changed, though the command does not own them."""
    run = _name(tried.run.relative_to(tried.root))
    wrong = []
    for path, what in before.items():
        name = re.sub(rf"^{re.escape(run)}(?=/|$)", "run", path.decode(errors="surrogateescape"))
        if after.get(path) == what or _may_change(tried.command, name):
            continue
        in_checkpoints = tried.command == "train" and name.startswith("run/checkpoints/")
        if in_checkpoints and _kept(what, run, before, after):
            continue
        wrong.append(f"{name} was {what[:20]} and is {after.get(path, 'gone')[:20]}")
    for path in after.keys() - before.keys():
        name = path.decode(errors="surrogateescape")
        if not name.startswith((run, "run", "elsewhere/", "events/")):  # where links of a run may lead
            wrong.append(f"made {name}")
        if "unfinished" in name or (".writing-" in name and not tried.sent):
            wrong.append(f"left {name}")
    return wrong


def _name(path: Path) -> str:
    return str(path)


def _may_change(command: str, name: str) -> bool:
    if command == "train":
        return name in WRITTEN or name.startswith(("run/tensorboard/", "run/unfinished", "run/checkpoints/.writing-"))
    return (command, name) == ("report", "run/report.html")


def _kept(what: str, run: str, before: Paths, after: Paths) -> bool:
    """Whether as many files with this content as before lie among the checkpoints."""
    start = f"{run}/checkpoints/".encode(errors="surrogateescape")

    def count(paths: Paths) -> int:
        return Counter(found for path, found in paths.items() if path.startswith(start))[what]

    return count(after) >= count(before) or (what.startswith("special") and count(after) > 0)


def _result(tried: Try, ended: Ended, known: Undisturbed) -> list[str]:
    """Whether a command that ended well said what it says when nothing happens."""
    return {"train": _train, "export": _export, "inspect": _inspect}.get(tried.command, _reads)(tried, ended, known)


def _train(tried: Try, ended: Ended, known: Undisturbed) -> list[str]:
    found, wanted = ended.last.get("parameters_sha256"), known.hash(tried.source, AFTER)
    if found == wanted and ended.last.get("step") == AFTER:
        return _metrics(tried)
    if tried.other_bits and "uses other hardware" in ended.out:
        return []
    return [f"OTHER BITS: {found} at step {ended.last.get('step')}, not {wanted}"]


def _metrics(tried: Try) -> list[str]:
    """Whether every step was told once."""
    lines = [json.loads(line) for line in (tried.run / "metrics.jsonl").read_text(errors="replace").splitlines()]
    steps = Counter(line["step"] for line in lines if line["event"] == "train")
    if tried.mendable and any(steps[step] != 1 for step in range(1, AFTER + 1)):
        return [f"steps told: {dict(steps)}"]
    return [f"a step was told twice: {dict(steps)}"] if max(steps.values()) > 1 and tried.mendable else []


def _export(tried: Try, ended: Ended, known: Undisturbed) -> list[str]:
    step, found = ended.last.get("step", -1), ended.last.get("parameters_sha256")
    if step not in (BEFORE, BEFORE // 2) or found != known.hash(tried.source, step):
        return [f"exported {found} of step {step}"]
    return []


def _inspect(tried: Try, ended: Ended, known: Undisturbed) -> list[str]:
    match = re.search(r"^ckpt-(\d+)$.*^parameters_sha256 (\w+)$", ended.out, re.DOTALL | re.MULTILINE)
    if not match or match[2] != known.hash(tried.source, int(match[1])):
        return [f"said of itself: {match and match.groups()}"]
    return []


def _reads(tried: Try, ended: Ended, known: Undisturbed) -> list[str]:
    """evaluate, predict and report: equal words of the newest checkpoint, or of the other where it was passed over."""
    if tried.command == "report":
        page = tried.run / "report.html"
        return [] if page.is_file() and page.read_text().rstrip().endswith("</html>") else ["no whole page"]
    if tried.other_scores or tried.other_bits:
        return []
    steps = [BEFORE // 2 if "passed over: " in ended.err else BEFORE]
    if tried.streams.get("stderr"):
        steps = [BEFORE // 2, BEFORE]  # where the words about it were not heard
    more = ("--format=json", "look") if tried.command == "predict" else ()
    wanted = [known.said(tried.source, tried.command, f"--checkpoint={step}", *more) for step in steps]
    if _told(ended.out) not in map(_told, wanted):
        return [f"OTHER WORDS: {ended.out[-200:]!r}, not {wanted[-1][-200:]!r}"]
    return []


def _told(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]
