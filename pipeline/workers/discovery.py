"""Which workers a job has, and which of them this process is: by flags, else TF_CONFIG, else Slurm's environment."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.config import Config
from pipeline.engine.topology import ALONE, Workers
from pipeline.errors import UsageError
from pipeline.process import environment
from pipeline.storage.reading import parse_json
from pipeline.text.addresses import check_families, host_and_port
from pipeline.workers import hostlists, slurm


def workers(config: Config, variables: Mapping[str, str] | None = None) -> Workers:
    """The workers that a configuration and the environment name. Raises UsageError."""
    found = _named(config, environment.variables() if variables is None else variables)
    if config.worker_addresses:
        index = found.index if found and found.count > 1 else -1
        found = Workers(tuple(hostlists.hosts(config.worker_addresses)), index)
    found = found or ALONE
    if config.worker_index >= 0:
        found = dataclasses.replace(found, index=config.worker_index)
    return _checked(found, config)


def _checked(found: Workers, config: Config) -> Workers:
    """These workers, checked; one worker alone needs no address. Raises UsageError."""
    known = [address for address in found.addresses if address or not found.learned]
    for address in known:
        host_and_port(address)
        if found.addresses.count(address) > 1:
            raise UsageError(f"the worker address {address} is given twice; every worker needs its own host or port")
    check_families(known)
    if found.index < 0 and found.count > 1:
        raise UsageError(
            f"worker_addresses={config.worker_addresses} names {found.count} workers, and nothing says which of them "
            f"this one is; give --worker_index=0 to {found.count - 1}"
        )
    if found.index >= found.count:
        names = "what names them: --worker_addresses, TF_CONFIG or Slurm"
        raise UsageError(
            f"worker_index={found.index} is out of range of {found.count} worker(s), whose indices are 0 to "
            f"{found.count - 1}; correct it, or {names}"
        )
    if config.min_workers > found.count:
        raise UsageError(
            f"min_workers={config.min_workers} is more than the {found.count} worker(s) of the job; lower it, or name "
            "more in --worker_addresses, TF_CONFIG or Slurm"
        )
    return found if found.count > 1 else ALONE


def _named(config: Config, variables: Mapping[str, str]) -> Workers | None:
    """The workers of the environment, if it names any. Flags that say all need nothing of it."""
    if config.worker_addresses and config.worker_index >= 0:
        return None
    if variables.get("TF_CONFIG"):
        return _of_tf_config(variables["TF_CONFIG"])
    if slurm.is_task(variables):
        return slurm.workers(variables)
    if config.min_workers and slurm.is_array_worker(variables):
        return slurm.array_workers(variables)
    return None


def _of_tf_config(text: str) -> Workers:
    """The workers of a TF_CONFIG; a chief counts as worker 0. Raises UsageError."""
    wanted = '{"cluster": {"worker": ["h1:9000", "h2:9000"]}, "task": {"type": "worker", "index": 0}}'
    try:
        said = parse_json(text)
        cluster, task = said["cluster"], said.get("task", {})
        lists = {role: _strings(cluster.get(role, [])) for role in ("chief", "worker")}
        role, index = task.get("type", "worker"), int(task.get("index", -1))
        strangers = sorted({*cluster, role} - set(lists))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(f"TF_CONFIG={text} does not name the workers; it should be like {wanted}") from None
    if strangers:
        raise UsageError(f"TF_CONFIG has the role '{strangers[0]}', which this trainer lacks; name workers alone")
    if not lists["chief"] + lists["worker"]:
        raise UsageError(f"TF_CONFIG={text} has no cluster.worker; it should be like {wanted}")
    if index >= len(lists[role]):
        raise UsageError(
            f"TF_CONFIG says task {role} {index}, but its cluster has {len(lists[role])} of them; correct task.index"
        )
    return Workers(tuple(lists["chief"] + lists["worker"]), index + len(lists["chief"]) * (role == "worker"))


def _strings(value: Any) -> list[str]:
    """A list of strings. Raises TypeError."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError
    return value


def share_of_gpus(
    found: Workers, visible: list[str], split: bool = False, variables: Mapping[str, str] | None = None
) -> list[str]:
    """Of the visible GPUs, those of this worker: all, or where workers share the host, equal parts by local rank.

    split: whether each worker takes its memory from all GPUs, as with --logical_gpus. Slurm may have divided them
    already. Raises UsageError if they do not divide.
    """
    variables = environment.variables() if variables is None else variables
    local = found.on_this_host
    divided = any(variables.get(name) for name in ("SLURM_GPUS_PER_TASK", "SLURM_TRES_PER_TASK", "SLURM_GPU_BIND"))
    if split or len(local) == 1 or (divided and slurm.is_task(variables)):
        return visible
    if len(visible) % len(local):
        raise UsageError(
            f"{len(visible)} GPUs do not divide over the {len(local)} workers of this host; start as many workers as "
            "divide them, let them share all with --logical_gpus, or choose some with CUDA_VISIBLE_DEVICES (-1: none)"
        )
    each, rank = len(visible) // len(local), local.index(found.index)
    return visible[rank * each : (rank + 1) * each]
