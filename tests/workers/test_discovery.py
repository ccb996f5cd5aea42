import json

import pytest

from pipeline.config import Config
from pipeline.engine.topology import Workers
from pipeline.errors import UsageError
from pipeline.process.environment import visible_gpus
from pipeline.workers import discovery, ports
from pipeline.workers.slurm import port_of

ONE_ALONE = Workers()


def workers(environment=None, **fields) -> Workers:
    return discovery.workers(Config(**fields), environment or {})


def tf_config(cluster: dict, **task) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def slurm(procid: int = 0, **changes: str) -> dict[str, str]:
    """The environment of a task of a step of 3 tasks on 2 nodes, as Slurm 22.05 sets it."""
    step = {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "3",
        "SLURM_STEP_NODELIST": "n[09-10]",
        "SLURM_STEP_TASKS_PER_NODE": "2,1",
        "SLURM_PROCID": str(procid),
        "SLURMD_NODENAME": "n10" if procid == 2 else "n09",
        "SLURM_DISTRIBUTION": "block",
    }
    return {**step, **changes}


def refusal(environment=None, **fields) -> str:
    with pytest.raises(UsageError) as refused:
        workers(environment, **fields)
    assert "\n" not in str(refused.value) and ";" in str(refused.value), "value, rule; remedy"
    return str(refused.value)


def test_without_a_word_it_is_one_worker_alone():
    assert workers() == ONE_ALONE and ONE_ALONE.count == 1 and ONE_ALONE.is_chief
    assert workers(worker_index=0) == workers(worker_addresses="h1:9000") == ONE_ALONE
    assert workers({"TF_CONFIG": ""}) == ONE_ALONE


def test_flags_name_the_workers():
    assert workers(worker_addresses="h1:9000,h2:9001", worker_index=1) == Workers(("h1:9000", "h2:9001"), 1)
    assert workers(worker_addresses="n[9-10]:90", worker_index=0) == Workers(("n9:90", "n10:90"), 0)
    assert workers(worker_addresses="[::1]:9000,[::1]:9001", worker_index=0).count == 2


def test_flags_come_before_tf_config_and_tf_config_before_slurm():
    cluster = {"worker": ["a:1", "b:1"]}
    both = {**slurm(2), **tf_config(cluster, type="worker", index=1)}
    assert workers(both) == Workers(("a:1", "b:1"), 1)
    assert workers(both, worker_index=0) == Workers(("a:1", "b:1"), 0)
    assert workers(both, worker_addresses="h1:9,h2:9", worker_index=0) == Workers(("h1:9", "h2:9"), 0)
    assert workers(slurm(2), worker_addresses="h1:9,h2:9,h3:9") == Workers(("h1:9", "h2:9", "h3:9"), 2)


def test_a_chief_in_tf_config_is_worker_0():
    cluster = {"chief": ["c:1"], "worker": ["a:1", "b:1"]}
    addresses = ("c:1", "a:1", "b:1")
    assert workers(tf_config(cluster, type="chief", index=0)) == Workers(addresses, 0)
    assert workers(tf_config(cluster, type="worker", index=1)) == Workers(addresses, 2)
    assert workers(tf_config({"worker": ["a:1", "b:1"]}, type="worker", index="1")).index == 1
    assert workers(tf_config({"chief": ["c:1"]}, type="chief", index=0)) == ONE_ALONE


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "does not name the workers"),
        ("[" * 100_000, "does not name the workers"),
        ("[]", "does not name the workers"),
        ("{}", "does not name the workers"),
        ('{"cluster": {"worker": "h1:9000"}}', "does not name the workers"),
        ('{"cluster": {"worker": [1]}}', "does not name the workers"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"index": "x"}}', "does not name the workers"),
        ('{"cluster": {}}', "has no cluster.worker"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["p:1"]}}', "has the role 'ps'"),
        ('{"cluster": {"worker": ["a:1"], "evaluator": ["p:1"]}}', "has the role 'evaluator'"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}', "has the role 'evaluator'"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}', "has 2 of them"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"index": 0}}', "a:1 is given twice"),
        ('{"cluster": {"worker": ["a:1", "b"]}, "task": {"index": 0}}', "'b' is not HOST:PORT"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "nothing says which of them"),
    ],
)
def test_a_malformed_tf_config_is_refused(text, message):
    assert message in refusal({"TF_CONFIG": text})


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"worker_addresses": "h1:9000,h2:9000"}, "nothing says which of them this one is; give --worker_index=0 to 1"),
        ({"worker_addresses": "h1:9000,h2:9000", "worker_index": 2}, "worker_index=2 is out of range of 2 worker"),
        ({"worker_index": 1}, "worker_index=1 is out of range of 1 worker"),
        ({"worker_addresses": "h1:9000", "worker_index": 1}, "worker_index=1 is out of range of 1 worker"),
        ({"worker_addresses": "h1:9000,h1:9000", "worker_index": 0}, "h1:9000 is given twice"),
        ({"worker_addresses": "h1,h2", "worker_index": 0}, "'h1' is not HOST:PORT"),
        ({"worker_addresses": "h1:0,h2:1", "worker_index": 0}, "'h1:0' is not HOST:PORT"),
        ({"worker_addresses": "h1:65536,h2:1", "worker_index": 0}, "'h1:65536' is not HOST:PORT"),
        ({"worker_addresses": ":9000,h2:1", "worker_index": 0}, "':9000' is not HOST:PORT"),
        ({"worker_addresses": "n[1-:9", "worker_index": 0}, "does not parse"),
        ({"worker_addresses": "h1:9000,", "worker_index": 0}, "does not parse"),
    ],
)
def test_flags_that_name_no_workers_are_refused(fields, message):
    assert message in refusal(**fields)


def test_the_tasks_of_a_slurm_step_are_the_workers():
    port = port_of(7, 0, 0)
    expected = (f"n09:{port}", f"n09:{port + 1}", f"n10:{port}")
    assert [workers(slurm(k)) for k in range(3)] == [Workers(expected, k) for k in range(3)]
    assert port in ports.RANGE


def test_slurms_tasks_in_turns_over_the_nodes():
    port = port_of(7, 0, 0)
    turns = {"SLURM_DISTRIBUTION": "cyclic"}
    addresses = (f"n09:{port}", f"n10:{port}", f"n09:{port + 1}")
    assert workers(slurm(1, SLURMD_NODENAME="n10", **turns)) == Workers(addresses, 1)
    assert workers(slurm(2, SLURMD_NODENAME="n09", **turns)) == Workers(addresses, 2)


def test_jobs_and_steps_have_ports_of_their_own():
    ports = {port_of(job, step, rank) for job in range(9000, 9050) for step in (0, 1) for rank in (0, 9)}
    assert len(ports) == 50 * 2 * 2


def test_only_a_step_of_several_tasks_makes_slurm_a_job_of_several_workers():
    batch_script = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "3", "SLURM_PROCID": "0", "SLURM_JOB_NODELIST": "n[1-3]"}
    salloc = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "3", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_TASKS_PER_NODE": "1(x3)"}
    interactive_step = slurm(SLURM_STEP_NUM_TASKS="1", SLURM_STEP_TASKS_PER_NODE="1", SLURM_STEP_NODELIST="n09")
    assert workers(batch_script) == workers(salloc) == workers(interactive_step) == ONE_ALONE


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"SLURM_STEP_NODELIST": "n[1-"}, "does not parse"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2x1"}, "does not parse"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2"}, "do not lie as its lists say"),
        ({"SLURM_STEP_NUM_TASKS": "4"}, "do not lie as its lists say"),
        ({"SLURMD_NODENAME": "n10"}, "task 0 on n10); start them with srun --distribution=block"),
        ({"SLURM_JOB_ID": "seven"}, "lacks or garbles a variable"),
    ],
)
def test_an_environment_of_slurm_that_contradicts_itself_is_refused(changes, message):
    assert message in refusal(slurm(**changes))


def array_task(index: int, **changes: str) -> dict[str, str]:
    """The environment of a task of an array of 3, as Slurm 22.05 sets it."""
    names = {"JOB_ID": "7", "TASK_ID": str(index), "TASK_MIN": "0", "TASK_MAX": "2", "TASK_STEP": "1"}
    array = {f"SLURM_ARRAY_{name}": value for name, value in names.items()}
    step = {"SLURM_JOB_ID": "9", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURMD_NODENAME": "n4"}
    return {**array, **step, **changes}


def test_the_tasks_of_an_array_are_the_workers_of_a_job_that_shrinks_and_grows():
    task = workers(array_task(1), min_workers=1)
    assert task == Workers(("", f"n4:{port_of(7, 0, 1)}", ""), 1, learned=True)
    assert task.name(0) == "worker 0 (not started yet)" and task.on_this_host == (1,)
    assert workers(array_task(1)) == ONE_ALONE
    assert workers(array_task(1), min_workers=1, worker_addresses="h1:9000,h2:9000", worker_index=0).learned is False


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"SLURM_ARRAY_TASK_MIN": "1"}, "the array has the tasks 1 to 2 in steps of 1"),
        ({"SLURM_ARRAY_TASK_STEP": "2"}, "in steps of 2"),
        ({"SLURM_ARRAY_TASK_MAX": "all"}, "garbles a variable"),
        ({"SLURM_ARRAY_TASK_MAX": "4096"}, "the array has the tasks 0 to 4096"),
    ],
)
def test_an_array_whose_tasks_are_no_workers_is_refused(changes, message):
    assert message in refusal(array_task(1, **changes), min_workers=1)


def test_a_missing_variable_of_slurm_is_named():
    environment = slurm()
    del environment["SLURM_STEP_NODELIST"]
    assert "SLURM_STEP_NODELIST" in refusal(environment)


def test_visible_gpus(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == ["0", "1", "2"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "2,GPU-ab"}, tmp_path) == ["2", "GPU-ab"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1,-1,2"}, tmp_path) == ["1"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "0"}, tmp_path / "none") == []


def test_workers_of_one_host_share_its_gpus():
    together = [Workers(("h1:1", "h2:1", "h1:2"), k) for k in range(3)]
    four = ["0", "1", "2", "3"]
    assert [w.on_this_host for w in together] == [(0, 2), (1,), (0, 2)]
    assert [discovery.share_of_gpus(w, four, variables={}) for w in together] == [["0", "1"], four, ["2", "3"]]
    assert discovery.share_of_gpus(ONE_ALONE, four, variables={}) == four
    assert discovery.share_of_gpus(together[0], [], variables={}) == []
    assert discovery.share_of_gpus(together[2], four[:1], split=True, variables={}) == ["0"]
    with pytest.raises(UsageError, match="3 GPUs do not divide over the 2 workers of this host; start"):
        discovery.share_of_gpus(together[0], four[:3], variables={})


def test_gpus_that_slurm_has_divided_are_left_alone():
    together = Workers(("n09:1", "n09:2", "n10:1"), 1)
    assert discovery.share_of_gpus(together, ["0"], variables=slurm(1, SLURM_GPUS_PER_TASK="1")) == ["0"]
    assert discovery.share_of_gpus(together, ["0", "1"], variables=slurm(1)) == ["1"]
