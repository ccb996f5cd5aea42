"""The profiler runs for the steps that were asked for, and no others."""

import tensorflow as tf

from pipeline.monitoring.profiling import Profiler
from pipeline.text.flag_values import Steps


def traces(directory):
    return list(directory.rglob("*.xplane.pb"))


def test_it_writes_a_trace_of_the_steps_that_were_asked_for(tmp_path):
    profiler = Profiler(Steps(10, 20), tmp_path)
    for step in (0, 5, 10, 11, 19):
        profiler.at(step)
        with profiler.call(step):
            tf.matmul(tf.ones([8, 8]), tf.ones([8, 8]))
        assert traces(tmp_path) == []
    profiler.at(20)
    [trace] = traces(tmp_path)
    assert b"MatMul" in trace.read_bytes() and b"step_num" in trace.read_bytes()
    profiler.at(30)
    assert len(traces(tmp_path)) == 1


def test_a_run_resumed_in_the_middle_traces_the_rest_and_one_resumed_behind_nothing(tmp_path):
    Profiler(Steps(10, 20), tmp_path).at(20)
    assert traces(tmp_path) == []
    profiler = Profiler(Steps(10, 20), tmp_path)
    profiler.at(15)
    profiler.at(20)
    assert len(traces(tmp_path)) == 1


def test_without_steps_it_never_runs(tmp_path):
    profiler = Profiler(Steps(), tmp_path)
    profiler.at(0)
    profiler.at(100)
    assert traces(tmp_path) == []
