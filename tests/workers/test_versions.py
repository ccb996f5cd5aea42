from pathlib import Path

import numpy

import pipeline
from pipeline.engine.hardware import conditions
from pipeline.workers.versions import REMEDIES, versions


def test_versions_are_those_of_what_is_installed_and_of_this_code(monkeypatch, tmp_path):
    told = versions()
    assert list(told) == ["pipeline", "python", "tensorflow", "keras", "numpy", *conditions()]
    assert REMEDIES.keys() == conditions().keys()
    assert told["numpy"] == numpy.__version__ and told["pipeline"].startswith(f"{pipeline.__version__}-")
    (tmp_path / "__init__.py").write_bytes(Path(pipeline.__file__).read_bytes())
    monkeypatch.setattr(pipeline, "__file__", str(tmp_path / "__init__.py"))
    assert versions()["pipeline"] != told["pipeline"]
    assert versions() == {**told, "pipeline": versions()["pipeline"]}
