"""What is handed out for clusters: the launcher's file, the Dockerfile, the Kubernetes manifests and their guide.

Nothing here starts a cluster. Files are held against what reads them: Ray's own schema and command line, EC2's description of
itself, Kubernetes' schemas, docrag's own parser. KubeRay's kinds have no schema in a package; their fields are listed here.
"""

from __future__ import annotations

import copy
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import click
import kubernetes_validate
import pytest
import ray
import yaml
from botocore.validate import validate_parameters
from ray.autoscaler._private.aws.config import SECURITY_GROUP_TEMPLATE
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import cli as ray_cli

import docrag
from docrag.cli import make_parser

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "ray_cluster.yaml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
KUBERAY = ROOT / "deploy" / "kuberay"
GUIDE = ROOT / "docs" / "cluster.md"
MANIFESTS = (ROOT / "deploy" / "qdrant.yaml", *sorted(KUBERAY.glob("*.yaml")))
TOKEN_SERVERS = {"169.254.170.23/32": 80, "169.254.169.252/32": 988}  # EKS Pod Identity's, GKE's
FOLDERS = ("docrag", "ingest", "index", "pipelines", "eval")
CLUSTER_FIELDS = {
    *("rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec", "workerGroupSpecs"),
    *("suspend", "managedBy", "headServiceAnnotations", "gcsFaultToleranceOptions"),
}
HEAD_FIELDS = {"serviceType", "headService", "enableIngress", "rayStartParams", "template", "resources", "labels"}
GROUP_FIELDS = {
    *("groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams", "template", "scaleStrategy"),
    *("idleTimeoutSeconds", "suspend", "resources", "labels"),
}
JOB_FIELDS = {
    *("entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "submitterPodTemplate"),
    *("rayClusterSpec", "clusterSelector", "submissionMode", "activeDeadlineSeconds", "runtimeEnvYAML", "metadata"),
    *("jobId", "entrypointNumCpus", "entrypointNumGpus", "entrypointResources", "suspend", "submitterConfig"),
}
SPOT_LABELS = {
    *("eks.amazonaws.com/capacityType", "karpenter.sh/capacity-type", "cloud.google.com/gke-spot"),
    "kubernetes.azure.com/scalesetpriority",
}


def launcher() -> dict[str, Any]:
    return yaml.safe_load(LAUNCHER.read_text())


def launcher_variants() -> dict[str, dict[str, Any]]:
    """The blocks at the end of the launcher's file, by the first words of their titles."""
    variants: dict[str, dict[str, Any]] = {}
    for part in LAUNCHER.read_text().split("\n# --- ")[1:]:
        title, *lines = part.splitlines()
        block = "\n".join(line.removeprefix("#| ") for line in lines if line.startswith("#| "))
        variants[title.split(":")[0]] = yaml.safe_load(block)
    return variants


def is_valid_for_ray(config: dict[str, Any]) -> dict[str, Any]:
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


def start_commands() -> list[str]:
    config = launcher()
    return [
        next(part.strip() for part in command.split(";") if part.strip().startswith("ray start"))
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
        for command in config[key]
        if "ray start" in command
    ]


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def objects(kind: str) -> list[dict[str, Any]]:
    return [document for path in MANIFESTS for document in documents(path) if document["kind"] == kind]


def cluster_specs() -> list[dict[str, Any]]:
    (cluster,), (job,) = objects("RayCluster"), objects("RayJob")
    return [cluster["spec"], job["spec"]["rayClusterSpec"]]


def groups(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def pod_templates() -> list[dict[str, Any]]:
    (job,), (server,) = objects("RayJob"), objects("StatefulSet")
    ray_pods = [group["template"] for spec in cluster_specs() for group in groups(spec)]
    return [*ray_pods, job["spec"]["submitterPodTemplate"], server["spec"]["template"]]


def dockerfile() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, comments left out and continued lines joined."""
    text = "\n".join(line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#"))
    lines = [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def guide_commands() -> list[str]:
    """The lines of the guide's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def docrag_commands() -> Iterator[str]:
    (job,) = objects("RayJob")
    yield job["spec"]["entrypoint"]
    for line in guide_commands():
        if match := re.search(r"(?:^|-- )(docrag .*)", line):
            yield match[1]


def test_the_launchers_file_passes_rays_own_schema() -> None:
    prepared = is_valid_for_ray(launcher())
    assert prepared["available_node_types"]["head"]["max_workers"] == 0
    assert sum(kind["min_workers"] for kind in prepared["available_node_types"].values()) <= prepared["max_workers"]


def test_a_misspelt_setting_does_not_pass_it() -> None:
    config = launcher()
    config["available_node_types"]["cpu"]["min_worker"] = 2
    with pytest.raises(Exception, match="min_worker"):
        is_valid_for_ray(config)


@pytest.mark.parametrize("name", ["Google Cloud", "Azure", "Machines of your own"])
def test_what_is_to_change_elsewhere_passes_it_too(name: str) -> None:
    config = {key: value for key, value in {**launcher(), **launcher_variants()[name]}.items() if value is not None}
    prepared = is_valid_for_ray(config)
    assert prepared["docker"]["image"] == launcher()["docker"]["image"]
    if name != "Machines of your own":
        assert set(prepared["available_node_types"]) == set(launcher()["available_node_types"])


def test_ec2_knows_all_that_is_asked_of_a_machine() -> None:
    client = boto3.client("ec2", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    request = client.meta.service_model.operation_model("RunInstances").input_shape
    for kind in launcher()["available_node_types"].values():
        validate_parameters({**kind["node_config"], "MinCount": 1, "MaxCount": 1}, request)


def test_the_head_lasts_and_reads_no_pages_and_workers_are_spot() -> None:
    kinds = launcher()["available_node_types"]
    assert kinds["head"]["resources"] == {"CPU": 0}
    assert {name: kind["node_config"].get("InstanceMarketOptions") for name, kind in kinds.items()} == {
        "head": None,
        "cpu": {"MarketType": "spot"},
        "gpu": {"MarketType": "spot"},
    }
    assert "--num-cpus=0" in start_commands()[0]


def test_ray_start_knows_its_options_and_has_its_keys() -> None:
    config = launcher()
    (mount,) = config["file_mounts"]
    assert f"--env RAY_AUTH_TOKEN_PATH={mount}/auth_token" in config["docker"]["run_options"]
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        stop, start = config[key]
        assert stop == "ray stop"
        assert f'export DOCRAG_QDRANT_API_KEY="$(cat {mount}/qdrant_api_key)"' in start
    for command in start_commands():
        check_ray_command(command)


def test_no_machine_gets_docrag_from_anywhere_but_its_image() -> None:
    config = launcher()
    assert not config["setup_commands"]
    assert not config["head_setup_commands"]
    assert not config["worker_setup_commands"]
    assert config["docker"]["image"] == f"docrag:{docrag.__version__}"
    assert config["available_node_types"]["gpu"]["docker"]["worker_image"] == f"docrag:{docrag.__version__}-gpu"


def test_the_image_is_what_a_node_of_ray_and_kuberays_probes_need() -> None:
    instructions = dockerfile()
    last = {name: value for name, value in instructions if name in {"USER", "CMD", "WORKDIR"}}
    assert last["USER"] == "1000"  # a number: Kubernetes can't tell of a name that it is not root
    assert not [value for name, value in instructions if name == "ENTRYPOINT"]  # the launcher starts `bash` in it
    settings = " ".join(value for name, value in instructions if name == "ENV")
    assert "HOME=/home/docrag" in settings
    assert "RAY_AUTH_MODE=token" in settings
    packages = next(value for name, value in instructions if name == "RUN" and "apt-get" in value)
    assert {"openssh-client", "rsync", "wget"} <= set(packages.split())
    arguments = dict(value.split("=", 1) for name, value in instructions if name == "ARG")
    assert "ray[default]" in arguments["CLUSTER_PACKAGES"]
    assert "s3fs" in arguments["CLUSTER_PACKAGES"]
    assert "tesseract-ocr" in arguments["OCR_PACKAGES"]
    assert arguments["TORCH_INDEX"] == '""'


def test_the_image_holds_the_locks_versions() -> None:
    installs = [value for name, value in dockerfile() if name == "RUN" and "pip install" in value]
    assert all("--constraint requirements.lock" in value or "--no-index" in value for value in installs)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = {re.split(r"[=;\s]", line)[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    assert {re.split(r"[\[<>=]", name)[0] for name in project["dependencies"]} <= lock
    assert f"ray=={ray.__version__}" in (ROOT / "requirements.lock").read_text()


def test_what_the_dockerfile_copies_makes_the_whole_wheel(tmp_path: Path) -> None:
    allowed = {line[1:] for line in Path(f"{DOCKERFILE}.dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [name for what, value in dockerfile() if what == "COPY" and "--from" not in value for name in value.split()[:-1]]
    assert set(copied) == allowed
    for name in set(copied):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder in FOLDERS:
        below = Path() if folder == "docrag" else Path("docrag")
        assert {str(below / path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*.py")} <= inside


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_core_objects_pass_kubernetes_schema(path: Path) -> None:
    for document in documents(path):
        if document["apiVersion"] != "ray.io/v1":
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_every_pod_passes_kubernetes_schema() -> None:
    for template in pod_templates():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", **template["metadata"]}, "spec": template["spec"]}
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


def test_kuberays_objects_have_fields_that_it_knows() -> None:
    (job,) = objects("RayJob")
    assert set(job["spec"]) <= JOB_FIELDS
    for spec in cluster_specs():
        assert set(spec) <= CLUSTER_FIELDS
        assert set(spec["headGroupSpec"]) <= HEAD_FIELDS
        for group in spec["workerGroupSpecs"]:
            assert set(group) <= GROUP_FIELDS
            assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        for group in groups(spec):
            assert all(isinstance(value, str) for value in group["rayStartParams"].values())
            check_ray_command(" ".join(["ray start", *(f"--{name}=x" for name in group["rayStartParams"])]))


def test_pods_are_of_this_version() -> None:
    for spec in cluster_specs():
        assert spec["rayVersion"] == ray.__version__
        images = [group["template"]["spec"]["containers"][0]["image"] for group in groups(spec)]
        assert images == [f"docrag:{docrag.__version__}", f"docrag:{docrag.__version__}", f"docrag:{docrag.__version__}-gpu"]
        assert spec["authOptions"] == {"mode": "token"}


def test_the_jobs_pods_are_the_clusters() -> None:
    standing, batch = (copy.deepcopy(groups(spec)) for spec in cluster_specs())
    for group in (*standing, *batch):
        for name in ("replicas", "minReplicas", "maxReplicas"):
            group.pop(name, None)
    # The head of a cluster that grows asks Kubernetes for pods.
    assert standing[0]["template"]["spec"].pop("automountServiceAccountToken") is True
    assert batch[0]["template"]["spec"].pop("automountServiceAccountToken") is False
    assert standing == batch


def test_pods_have_no_more_rights_than_they_need() -> None:
    for template in pod_templates():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 1000
        assert pod["enableServiceLinks"] is False  # they would set DOCRAG_... variables
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
    for spec in cluster_specs():
        assert all(group["template"]["spec"]["automountServiceAccountToken"] is False for group in spec["workerGroupSpecs"])


def test_policies_select_the_pods_and_leave_the_machines_credentials_out() -> None:
    labels = [template["metadata"]["labels"] for template in pod_templates()]
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in objects("NetworkPolicy")}
    assert {label["app.kubernetes.io/name"] for label in labels} == {"docrag", "qdrant"}
    assert policies["qdrant"]["egress"] == []
    for name, spec in policies.items():
        assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == name.removesuffix("-head")
        blocks = [to["ipBlock"] for rule in spec.get("egress", []) for to in rule.get("to", []) if "ipBlock" in to]
        assert all("169.254.0.0/16" in block["except"] for block in blocks if block["cidr"] not in TOKEN_SERVERS)


def test_pods_reach_what_gives_them_the_tokens_of_their_own_role() -> None:
    """On EKS and GKE it answers at an address of the link, beside the machine's own credentials."""
    (policy,) = (found["spec"] for found in objects("NetworkPolicy") if found["metadata"]["name"] == "docrag")
    reached = {
        to["ipBlock"]["cidr"]: port["port"]
        for rule in policy["egress"]
        for to in rule["to"]
        if "ipBlock" in to
        for port in rule["ports"]
    }
    assert reached == {"0.0.0.0/0": 443, **TOKEN_SERVERS}


def test_a_job_whose_documents_failed_does_not_start_its_machines_again() -> None:
    (job,) = objects("RayJob")
    assert job["spec"]["backoffLimit"] == 0


def test_the_guide_lets_rays_machines_in_to_qdrant() -> None:
    group = SECURITY_GROUP_TEMPLATE.format(launcher()["cluster_name"])
    commands = guide_commands()
    assert any(f"Values={group} " in command for command in commands)
    (allowed,) = (command for command in commands if "authorize-security-group-ingress" in command)
    assert "--protocol tcp --port 6333 --source-group" in allowed


def test_the_guide_says_where_ray_runs_without_an_address() -> None:
    assert "nothing: that of `RAY_ADDRESS` (a job has it), else a Ray of its own" in GUIDE.read_text()
    assert all("--progress json" in command for command in docrag_commands() if "--ray auto" in command)


def test_ci_runs_all_tests_of_the_served_index_on_a_real_server() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "qdrant.yml").read_text())
    command = workflow["jobs"]["served-index"]["steps"][-1]["run"]
    on_stores = re.compile(r"\b(SERVER|KINDS)\b|def test_\w+\((.*, )?world\b")
    files = {
        f"tests/index/{path.name}"
        for path in (ROOT / "tests" / "index").glob("test_*.py")
        if on_stores.search(path.read_text())
    }
    assert files
    assert files <= set(command.split())


def test_what_must_last_is_not_on_spot_machines() -> None:
    (server,) = objects("StatefulSet")
    for template in (server["spec"]["template"], *(spec["headGroupSpec"]["template"] for spec in cluster_specs())):
        affinity = template["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        (term,) = affinity["nodeSelectorTerms"]
        assert {expression["key"] for expression in term["matchExpressions"]} == SPOT_LABELS
    for spec in cluster_specs():
        assert all(group["template"]["spec"]["tolerations"] for group in spec["workerGroupSpecs"])


def test_the_server_keeps_its_disk_and_its_key() -> None:
    (server,), (secret,) = objects("StatefulSet"), objects("Secret")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    (claim,) = server["spec"]["volumeClaimTemplates"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/qdrant/storage"} in container["volumeMounts"]
    asked = [
        variable["valueFrom"]["secretKeyRef"]
        for template in pod_templates()
        for container in template["spec"]["containers"]
        for variable in container.get("env", [])
        if "valueFrom" in variable
    ]
    (key,) = secret["stringData"]
    assert asked
    assert all(reference == {"name": secret["metadata"]["name"], "key": key} for reference in asked)
    assert secret["stringData"][key] == "REPLACE"


def check_ray_command(line: str) -> None:
    """Ray's command line has the command in `line`, and its options."""
    words = shlex.split(line)
    words = words[: words.index("--")] if "--" in words else words
    command: click.Command = ray_cli
    for word in words[1:]:
        if isinstance(command, click.Group):
            command = command.commands[word]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, line


def test_every_command_of_docrags_is_one() -> None:
    commands = list(docrag_commands())
    assert len(commands) > 6
    for command in commands:
        make_parser().parse_args(shlex.split(command)[1:])


def test_every_command_of_rays_is_one() -> None:
    commands = [line.removesuffix(" &") for line in guide_commands() if line.startswith("ray ")]
    assert len(commands) > 8
    for command in commands:
        check_ray_command(command)


def test_the_guide_names_files_that_are_there() -> None:
    text = GUIDE.read_text()
    for name in {
        *re.findall(r"\]\(\.\./([\w./-]+)\)", text),
        *re.findall(r"(?:-f|apply -f) ((?:deploy|ray_cluster)[\w./-]+)", text),
    }:
        assert (ROOT / name).exists(), name
    anchors = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in text.splitlines() if line[:2] == "##"
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors


@pytest.mark.parametrize("path", [LAUNCHER, DOCKERFILE, GUIDE, *MANIFESTS], ids=lambda path: path.name)
def test_no_file_holds_a_key_or_somebodys_names(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"AKIA|BEGIN [A-Z ]*PRIVATE|\b\d{12}\b|ami-[0-9a-f]{8}", text)
    assert all(bucket.startswith("example-bucket") for bucket in re.findall(r"s3://([\w-]+)", text))
    hosts = re.findall(r"https?://([\w.-]+)", text)
    allowed = r"(localhost|127\.0\.0\.1|qdrant|.*\.example\.com|www\.googleapis\.com|)$"
    assert all(re.match(allowed, host) for host in hosts), hosts
