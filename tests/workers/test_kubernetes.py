"""launch/kubernetes.yaml against the schemas that Kubernetes publishes, as kubernetes-validate carries them."""

import copy
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from pipeline.errors import ExitCode
from pipeline.process.environment import JOB_SECRET

MANIFEST = Path(__file__).parents[2] / "launch" / "kubernetes.yaml"
VERSIONS = ("1.31", "1.37")


@pytest.fixture
def resources():
    return list(yaml.safe_load_all(MANIFEST.read_text()))


@pytest.mark.parametrize("version", VERSIONS)
def test_it_keeps_to_the_published_schema(resources, version):
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("spoil", [{"paralelism": 2}, {"completions": "two"}, {"podFailurePolicy": {"rules": [{}]}}])
def test_the_schema_would_find_a_mistake(resources, spoil):
    job = copy.deepcopy(resources[-1])
    job["spec"] |= spoil
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)


def test_its_parts_fit_together(resources):
    service, policy, job = resources
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    name, workers = job["metadata"]["name"], spec["completions"]
    assert (spec["completionMode"], spec["parallelism"], pod["restartPolicy"]) == ("Indexed", workers, "Never")
    assert service["spec"]["selector"] == {"job-name": name} and service["spec"]["clusterIP"] == "None"
    assert pod["subdomain"] == service["metadata"]["name"]
    assert f"--worker_addresses={name}-[0-{workers - 1}].{pod['subdomain']}:9000" in container["command"]
    assert {port["protocol"] for port in container["ports"] if port["containerPort"] == 9000} == {"TCP", "UDP"}
    ingress = policy["spec"]["ingress"]
    own = {"podSelector": {"matchLabels": {"job-name": name}}}
    assert policy["spec"]["podSelector"] == own["podSelector"] and policy["spec"]["policyTypes"] == ["Ingress"]
    assert ingress == [{"from": [own], "ports": [{"port": 9000, "protocol": kind} for kind in ("TCP", "UDP")]}]
    assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"] for volume in pod["volumes"]]


def test_exit_codes_are_told_apart(resources):
    rules = resources[-1]["spec"]["podFailurePolicy"]["rules"]
    codes = {rule["action"]: rule["onExitCodes"]["values"] for rule in rules if "onExitCodes" in rule}
    assert codes == {
        "FailJob": [ExitCode.USAGE, ExitCode.BAD_DATA, ExitCode.DIVERGED],
        "Ignore": [ExitCode.PREEMPTED],
    }


def test_the_workers_share_a_secret_that_the_file_does_not_hold(resources):
    [container] = resources[-1]["spec"]["template"]["spec"]["containers"]
    secret = {"secretKeyRef": {"name": "train", "key": "secret"}}
    assert {"name": JOB_SECRET, "valueFrom": secret} in container["env"]
    assert "kubectl create secret generic train --from-file=secret=" in MANIFEST.read_text()
