"""Exports as others meet them: loaded by programs that know the format's own runtime and cannot import this project."""

import json
import subprocess
import sys
from pathlib import Path

import commands
import numpy as np
import pytest
from pictures import write

from pipeline.errors import ExitCode

NUM_IMAGES = 20

# Each gets the path that the export printed and a file of images [n, 28, 28, 1]; its `answer` are probabilities.
PROGRAMS = {
    "savedmodel": """
        import tensorflow as tf
        tf.config.threading.set_intra_op_parallelism_threads(2)
        answers = tf.saved_model.load(path).signatures["serving_default"](images=tf.constant(images))
        answer = answers["probabilities"].numpy()
        labels = [line.strip() for line in open(f"{path}/assets/labels.txt")]
        assert [labels[i] for i in answers["class_index"]] == [name.decode() for name in answers["class_name"].numpy()]
        assert answers["class_index"].numpy().tolist() == answer.argmax(axis=1).tolist()
    """,
    "keras": """
        import keras
        answer = keras.saving.load_model(path).predict(images, verbose=0)
    """,
    "tflite": """
        import tensorflow as tf
        interpreter = tf.lite.Interpreter(path)
        runner = interpreter.get_signature_runner()
        answer = np.concatenate([runner(images=images[i : i + 1])["probabilities"] for i in range(len(images))])
    """,
    "onnx": """
        import onnxruntime
        session = onnxruntime.InferenceSession(path)
        answer = session.run(["probabilities"], {"images": images})[0]
    """,
}

FRAME = """
import sys
sys.modules["pipeline"] = None  # from here on it cannot be imported
import numpy as np
path, images, output = sys.argv[1], np.load(sys.argv[2]), sys.argv[3]
{program}
np.save(output, answer)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the convolutional model, whose layers of ours no other program has."""
    directory = tmp_path_factory.mktemp("convolutional") / "run"
    commands.succeed("train", *commands.SMALL, "--model=convolutional", "--steps=4", f"--run_dir={directory}")
    return directory


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "images.npy"
    pixels = np.arange(NUM_IMAGES * 28 * 28, dtype=np.int64) * 2654435761 // 1000 % 256
    np.save(path, pixels.astype(np.uint8).reshape(NUM_IMAGES, 28, 28, 1))
    return path


def predicted(run: Path, *files) -> tuple[np.ndarray, list[str]]:
    """predict's probabilities and classes; all images at once, as the programs take them."""
    told = commands.succeed("predict", f"--run_dir={run}", "--format=json", f"--eval_batch={NUM_IMAGES}", *files)
    lines = [json.loads(line) for line in told.splitlines()]
    return np.array([list(line["probabilities"].values()) for line in lines]), [line["class"] for line in lines]


def exported(run: Path, format_name: str, *arguments) -> dict:
    return json.loads(
        commands.succeed("export", f"--run_dir={run}", f"--format={format_name}", *arguments).splitlines()[-1]
    )


def answer(program: str, path, images: Path, tmp_path: Path) -> np.ndarray:
    """What a program in a process of its own says, that runs where nothing of this project lies."""
    lines = [line.removeprefix(" " * 8) for line in program.splitlines()]
    code = FRAME.format(program="\n".join(lines))
    output = tmp_path / "answer.npy"
    env = commands.environment(PYTHONPATH="", TF_CPP_MIN_LOG_LEVEL="3")
    words = [sys.executable, "-c", code, str(Path(path).absolute()), str(images), str(output)]
    subprocess.run(words, check=True, cwd="/", env=env, timeout=300)
    return np.load(output)


@pytest.fixture(scope="module")
def expected(run, images):
    """What predict says."""
    return predicted(run, images)[0]


@pytest.fixture(scope="module")
def savedmodel(run, tmp_path_factory) -> Path:
    """The path of an export."""
    output = tmp_path_factory.mktemp("savedmodel") / "out"
    told = exported(run, "savedmodel", f"--output={output}")
    assert Path(told["path"]).is_relative_to(output / "1") and told["step"] == 4
    return Path(told["path"])


@pytest.mark.parametrize("format_name", PROGRAMS)
def test_another_program_says_what_predict_says(format_name, run, savedmodel, images, expected, tmp_path):
    path = savedmodel
    if format_name != "savedmodel":
        told = exported(run, format_name, f"--output={tmp_path}/out")
        path = Path(told["path"])
        assert path.is_relative_to(tmp_path / "out" / "1") and told["step"] == 4
    said = answer(PROGRAMS[format_name], path, images, tmp_path)
    if format_name == "savedmodel":  # the same operations, in a batch of the same size, on as many threads
        np.testing.assert_array_equal(said, expected)
    np.testing.assert_allclose(said, expected, atol=2e-6, rtol=0)


def test_a_savedmodel_takes_the_bytes_of_files(run, savedmodel, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 31, 3), dtype=np.uint8)
    files = [
        write(tmp_path / "a.png", pixels),
        write(tmp_path / "b.jpg", pixels[::-1]),
        write(tmp_path / "c.png", pixels[:28, :28, :1]),
    ]
    np.save(tmp_path / "files.npy", files)
    program = """
        import tensorflow as tf
        tf.config.threading.set_intra_op_parallelism_threads(2)
        loaded = tf.saved_model.load(path)
        contents = tf.constant([open(name, "rb").read() for name in images])
        answers = loaded.signatures["serving_bytes"](image_bytes=contents)
        answer = answers["probabilities"].numpy()
    """
    said, (expected, _) = answer(program, savedmodel, tmp_path / "files.npy", tmp_path), predicted(run, *files)
    np.testing.assert_allclose(said, expected, atol=2e-6, rtol=0)
    assert np.abs(said[0] - said[1]).max() > 1e-4  # it did look at them


def test_an_export_is_of_the_checkpoint_asked_for_and_lies_in_the_run(finished_run, run_copy):
    manifest = json.loads((finished_run / "checkpoints" / "ckpt-10.manifest.json").read_text())
    told = exported(run_copy, "tflite", "--checkpoint=10")
    assert (told["step"], told["parameters_sha256"]) == (10, manifest["parameters_sha256"])
    assert told["path"] == str(run_copy / "exports" / "tflite" / "1" / "model.tflite")


@pytest.mark.parametrize(
    ("code", "arguments", "line"),
    [
        (
            ExitCode.USAGE,
            "--format=kras",
            "usage: format=kras is unknown; did you mean keras? known: savedmodel",
        ),
        (ExitCode.USAGE, "--checkpoint=15", "usage: checkpoint=15 is not there; use latest, best or"),
        (ExitCode.STORAGE, "--output=file/out", "storage: file/out cannot be read or written: Not a directory; free"),
    ],
)
def test_what_cannot_be_exported(code, arguments, line, finished_run, tmp_path):
    (tmp_path / "file").write_text("kept")
    told = commands.refuse(code, "export", f"--run_dir={finished_run}", *arguments.split(), cwd=tmp_path)
    assert told.startswith(line)
    assert commands.contents(tmp_path) == {"file": b"kept"}
