"""Owners in processes of their own, and owners on hosts that this one only hears of."""

import contextlib
import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.errors import ExitCode, StorageError
from pipeline.runs import ownership
from pipeline.runs.ownership import Owner, Ownership
from pipeline.workers.slurm import JobAttempt

# Owns a directory and looks after it until it is another's; says what it sees.
OWNER = """
import json, sys, time
from pathlib import Path
from pipeline.errors import StorageError
from pipeline.process.exits import exit_with
from pipeline.runs.ownership import Ownership
from pipeline.workers.slurm import JobAttempt

mine = Ownership(Path(sys.argv[1]), JobAttempt(*json.loads(sys.argv[2])) if len(sys.argv) > 2 else None)
try:
    with mine.held():
        print("mine", flush=True)
        while True:
            mine.check()
            time.sleep(0.05)
except StorageError as error:
    exit_with(error)
"""
JOB = JobAttempt("slurm 7", 1)
NEXT_ATTEMPT = JobAttempt("slurm 7", 2)
SOON_S = 20.0


@contextlib.contextmanager
def owner(path: Path, life: JobAttempt | None = None):
    """Another process that owns it."""
    said = [json.dumps(dataclasses.astuple(life))] if life else []
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", OWNER, str(path), *said], **pipes) as process:
        try:
            assert process.stdout.readline() == "mine\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "lock"


def take(path: Path, life: JobAttempt | None = None) -> None:
    with Ownership(path, life).held():
        pass


@pytest.mark.parametrize("life", [None, JobAttempt("slurm 7", 1), JobAttempt("slurm 7", 0), JobAttempt("slurm 8", 2)])
def test_a_live_owner_keeps_it_from_all_but_a_later_attempt_of_its_job(file, life):
    with owner(file, JOB) as process:
        before = file.read_text()
        with pytest.raises(StorageError, match=rf"belongs to a live run \(process {process.pid} on .*\); wait for"):
            take(file, life)
        assert file.read_text() == before and process.poll() is None


def test_an_owner_that_is_no_attempt_of_a_job_is_never_followed(file):
    with owner(file), pytest.raises(StorageError, match="belongs to a live run"):
        take(file, JOB)


def test_a_later_attempt_takes_over_and_the_earlier_one_leaves(file):
    with owner(file, JOB) as process:
        with Ownership(file, NEXT_ATTEMPT).held():
            assert process.wait(SOON_S) == ExitCode.STORAGE
            mine = json.loads(file.read_text())["name"]
            assert mine == f"process {os.getpid()} on {Owner.this_process(None).host}"
            with pytest.raises(StorageError, match="belongs to a live run"):
                take(file)
        told = process.stderr.read()
    assert told.startswith(f"storage: run_dir={file.parent} was taken over by {mine}, a later start of the same job")
    assert file.read_text() == ""


def test_a_stopped_owner_is_not_waited_for_for_ever_and_leaves_when_it_goes_on(file, monkeypatch):
    monkeypatch.setattr(ownership, "HANDOVER_S", 0.5)
    with owner(file, JOB) as process:
        process.send_signal(signal.SIGSTOP)
        mine = Ownership(file, NEXT_ATTEMPT)
        with mine.held():
            mine.check()
            process.send_signal(signal.SIGCONT)
            assert process.wait(SOON_S) == ExitCode.STORAGE
            mine.check()
            with pytest.raises(StorageError, match="belongs to a live run"):  # the lock is its own by now
                take(file)
            mine.check()


def test_a_killed_owner_is_no_hindrance_to_anyone(file):
    with owner(file, JOB) as process:
        process.kill()
        process.wait()
        started = time.monotonic()
        take(file)
        assert time.monotonic() - started < ownership.SIGN_OF_LIFE_S


def test_whoever_was_followed_leaves_the_name_of_its_follower(file):
    with Ownership(file, JOB).held():
        theirs = json.dumps(dataclasses.asdict(Owner.this_process(NEXT_ATTEMPT)))
        file.write_text(theirs)
    assert file.read_text() == theirs


def test_whoever_let_go_has_nothing_to_look_after(file):
    mine = Ownership(file, None)
    with mine.held():
        mine.check()
    file.write_text("somebody else's")
    mine.check()


def test_a_file_that_is_gone_is_owned_by_nobody(file):
    mine = Ownership(file, None)
    with mine.held():
        file.unlink()
        with pytest.raises(StorageError, match="taken over by an unknown process"):
            mine.check()


def test_a_disk_that_does_not_answer_is_no_new_owner(file):
    mine = Ownership(file, None)
    with mine.held():
        file.unlink()
        file.mkdir()  # reading it is now an OSError
        mine.check()


# --- on another host, whose locks are not seen here ---


@contextlib.contextmanager
def elsewhere(path: Path, life: JobAttempt | None, lives: bool = True):
    """An owner on another host, that touches the file while its name stands there."""
    theirs = dataclasses.replace(Owner.this_process(life), name="process 1 on far", host="far")
    path.write_text(json.dumps(dataclasses.asdict(theirs)))
    over = threading.Event()

    def live():
        while lives and not over.wait(0.1) and Owner.read(path) == theirs:
            os.utime(path)

    thread = threading.Thread(target=live)
    thread.start()
    yield thread
    over.set()
    thread.join()


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(ownership, "SIGN_OF_LIFE_S", 0.8)
    monkeypatch.setattr(ownership, "NOTICE_S", 0.8)


@pytest.mark.parametrize("life", [None, JOB, JobAttempt("slurm 8", 2)])
def test_an_owner_elsewhere_that_lives_keeps_it(file, hurried, life):
    with elsewhere(file, JOB), pytest.raises(StorageError, match=r"belongs to a live run \(process 1 on far\)"):
        take(file, life)


@pytest.mark.parametrize("life", [None, NEXT_ATTEMPT])
def test_an_owner_elsewhere_that_gives_no_sign_of_life_is_dead(file, hurried, life):
    with elsewhere(file, JOB, lives=False):
        take(file, life)
    assert file.read_text() == ""


def test_a_later_life_gives_an_owner_elsewhere_the_time_to_notice(file, hurried):
    with elsewhere(file, JOB) as thread, Ownership(file, NEXT_ATTEMPT).held():
        assert not thread.is_alive()


def test_an_owner_gives_signs_of_life(file):
    mine = Ownership(file, None)
    with mine.held():
        before = file.stat().st_mtime_ns
        time.sleep(0.05)
        mine.check()
        assert file.stat().st_mtime_ns > before


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"name": "x"}', '{"name": 1, "host": 2, "token": 3, "life": 4}'])
def test_what_was_cut_short_names_nobody(file, text):
    file.write_text(text)
    assert Owner.read(file) is None
    take(file)


# --- a file system without locks ---


@pytest.fixture
def no_locks(monkeypatch):
    """As Lustre without the flock option; no such file system can be mounted here."""

    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(ownership.fcntl, "flock", refuse)
    monkeypatch.setattr(ownership, "SIGN_OF_LIFE_S", 0.6)


def test_without_locks_a_dead_owner_is_no_hindrance(tmp_path, no_locks):
    (tmp_path / "lock").write_text(json.dumps(dataclasses.asdict(Owner("process 1 on there", "there", "t", None))))
    with Ownership(tmp_path / "lock", None).held():
        assert Owner.read(tmp_path / "lock").host != "there"


def test_without_locks_an_owner_that_touches_the_file_is_seen(tmp_path, no_locks):
    owner = Ownership(tmp_path / "lock", None)
    over = threading.Event()

    def live() -> None:
        while not over.wait(0.05):
            owner.check()

    with owner.held():
        thread = threading.Thread(target=live)
        thread.start()
        try:
            with pytest.raises(StorageError, match="belongs to a live run"), Ownership(tmp_path / "lock", None).held():
                pass
        finally:
            over.set()
            thread.join()
        owner.check()  # still its own


@pytest.mark.parametrize("content", ["[" * 60000, "[1]", '{"name": 1}', '{"name": 1, "host": 2, "token": 3, "life": 0}',
    '{"name": "a", "host": "b", "token": "c", "life": {"job": 1, "number": "x"}}'])  # fmt: skip
def test_a_file_that_holds_no_owner_is_taken_over(tmp_path, content):
    (tmp_path / "lock").write_text(content)
    with Ownership(tmp_path / "lock", JOB).held():
        assert Owner.read(tmp_path / "lock").name.startswith(f"process {os.getpid()} on")
