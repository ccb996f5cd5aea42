"""kill -9 in the middle of uploads, on machines that lose their disks: python -m tests.mirror_kills --kills=N --seed=S

Each launch of one run goes on from a mirror in a server with the interface of S3. It is killed while a request that is
drawn at random is under way, and the request then has its effect after the kill, or never. After most kills the run
directory is gone, after some it is there still, after others an older one is. Prints a line for every kill. Ends with 0
if the run came to the parameters_sha256 of one that was never killed and had no mirror, and told the same steps.
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "support")]

import commands  # noqa: E402
import object_server  # noqa: E402
from object_server import BUCKET, Held, ObjectServer  # noqa: E402
from trainings import FLAGS, assert_equal_runs  # noqa: E402

from pipeline.runs.manifests import newest_step  # noqa: E402
from pipeline.runs.mirror import layout  # noqa: E402
from pipeline.runs.run_directory import RunDirectory  # noqa: E402

STEPS_A_KILL = 40

# What a launch is killed in -> the requests, and the most of them that pass before.
MOMENTS = {
    "data": (lambda method, path: method in ("PUT", "POST") and ".data-" in path, 3),
    "index": (lambda method, path: method == "PUT" and path.endswith(".index"), 3),
    "manifest": (lambda method, path: method == "PUT" and path.endswith(".manifest.json"), 3),
    "history": (lambda method, path: method == "PUT" and path.endswith("metrics.jsonl"), 2),
    "events": (lambda method, path: method == "PUT" and "tfevents" in path, 6),
    "claim": (lambda method, path: method == "PUT" and path.endswith("mirror.json"), 2),
    "pruning": (lambda method, path: method in ("POST", "DELETE") and ".data-" not in path, 2),
    "restoring": (lambda method, path: method == "GET" and ("ckpt" in path or "tfevents" in path), 6),
    "anything": (lambda method, path: True, 40),
}
DISKS = ("lost", "lost", "lost", "kept", "older")


class Trial:
    """One run that is killed again and again."""

    def __init__(self, server: ObjectServer, directory: Path, seed: int, steps: int):
        self._server, self._directory, self._draws = server, directory, random.Random(seed)
        self._flags, self._mirror = (*FLAGS, f"--steps={steps}"), f"run-{seed}"
        self._older: Path | None = None
        self.run_dir = directory / "machine-0"

    def kill_somewhere(self, number: int) -> str:
        """A launch that is killed at a moment drawn at random; a line about it."""
        possible = [m for m in MOMENTS if self.newest() > 0 or m not in ("restoring", "pruning")]
        moment = self._draws.choice(possible)
        which = self._draws.randint(1, MOMENTS[moment][1])
        return self.kill(number, moment, which, self._draws.random() < 0.5, self._draws.choice(DISKS))

    def kill(self, number: int, moment: str, which: int, heeded: bool, disk: str) -> str:
        """A launch that is killed in the n-th request of a moment; a line about it. disk: what is there afterwards."""
        held, before = Held(self._server, MOMENTS[moment][0], which, heeded), self.newest()
        with self._launch() as process:
            while not held.there.wait(0.01) and process.poll() is None:
                if newest_step(self.run_dir / "checkpoints") >= before + STEPS_A_KILL:
                    break
            process.kill()
            held.released.set()
            process.communicate()
        effect = "not reached" if not held.there.is_set() else "heeded" if heeded else "not heeded"
        disk = self._change_disk(number, disk)
        return f"{number:>3} in {moment:<9} {effect:<11}  disk {disk:<5}  mirror at step {self.newest()}"

    def newest(self) -> int:
        """The newest step in the mirror; 0 without one."""
        return max(layout.steps(self._server.names(self._mirror)), default=0)

    def end(self) -> int:
        """A launch to the end; its exit code."""
        self._server.before = lambda method, path: True
        with self._launch() as process:
            _, err = process.communicate(timeout=300)
            print(err, end="", file=sys.stderr)
            return process.returncode

    def _launch(self):
        flags = (*self._flags, f"--mirror=s3://{BUCKET}/{self._mirror}", f"--run_dir={self.run_dir}", "--quiet")
        return commands.start(
            "train", *flags, f"--towers={self._draws.choice((1, 2, 4))}", env=self._server.environment()
        )

    def _change_disk(self, number: int, disk: str) -> str:
        """Gives the next machine a disk; lost where there is no older one yet."""
        if disk == "kept":
            if self._older is None and self.run_dir.exists():
                self._older = shutil.copytree(self.run_dir, self._directory / "older")
            return disk
        self.run_dir = self._directory / f"machine-{number}"
        if disk == "older" and self._older is not None:
            shutil.copytree(self._older, self.run_dir)
            return disk
        return "lost"


def main() -> int:
    """Makes the kills; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mirror-kills-") as temporary, object_server.serving() as server:
        straight = Path(temporary) / "straight"
        steps = STEPS_A_KILL * (asked.kills + 1)
        commands.succeed("train", *FLAGS, f"--steps={steps}", f"--run_dir={straight}", "--quiet")
        trial = Trial(server, Path(temporary), asked.seed, steps)
        for number in range(1, asked.kills + 1):
            print(trial.kill_somewhere(number), flush=True)
        code = trial.end()
        hashes = [RunDirectory(path).history().result["parameters_sha256"] for path in (trial.run_dir, straight)]
        print(f"exit code {code}; parameters_sha256 {hashes[0][:16]} after the kills, {hashes[1][:16]} without")
        assert_equal_runs(trial.run_dir, straight)
        print("every step told once, with the numbers of the run without kills")
        return code


if __name__ == "__main__":
    sys.exit(main())
