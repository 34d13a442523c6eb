"""The files with which the app is deployed agree with each other, with the requirements and with the settings that are documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
KUBERNETES = list(yaml.safe_load_all((ROOT / "deploy/kuberay.yaml").read_text()))
SETTINGS = set(re.findall(r"^\| `(DPM_\w+)`", (ROOT / "docs/architecture.md").read_text(), re.M))


def test_the_versions_agree():
    wanted = re.search(r"ray\[default\]==(\S+)", (ROOT / "requirements-cluster.txt").read_text())[1]
    assert KUBERNETES[0]["spec"]["rayVersion"] == wanted
    assert "FROM python:3.11" in DOCKERFILE


def test_every_setting_is_documented():
    """In the files, and everywhere in the code."""
    files = [path for folder in ("dpm_core", "pages", "deploy") for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".yaml")]
    text = "".join(path.read_text() for path in files)
    used = set(re.findall(r"\bDPM_[A-Z]+\b", text + DOCKERFILE + (ROOT / "compose.yaml").read_text())) - {"DPM_TOKEN"}
    assert {"DPM_RUNS", "DPM_CLUSTER"} <= used <= SETTINGS


def test_what_compose_starts():
    """Three services of one image and one volume; the app knows the head by the port on which it listens; all have the secret."""
    services = COMPOSE["services"]
    assert set(services) == {"app", "head", "worker"}
    for service in services.values():
        assert service["image"] == "dpm-explorer" and service["volumes"] == ["data:/data"]
        assert service["environment"]["RAY_AUTH_MODE"] == "token" and "DPM_TOKEN:?" in service["environment"]["RAY_AUTH_TOKEN"]
    port = re.search(r"--ray-client-server-port=(\d+)", services["head"]["command"])[1]
    assert services["app"]["environment"]["DPM_CLUSTER"] == f"ray://head:{port}"
    assert {name for name in re.findall(r"ENV|DPM_\w+", DOCKERFILE)} >= {"DPM_RUNS", "DPM_CHECKPOINTS", "DPM_DATA"}


def test_what_kubernetes_starts():
    """All parts share the image and the volume; service, ingress and head are called by the names that they have."""
    cluster, app, service, ingress = KUBERNETES
    name = cluster["metadata"]["name"]
    pods = [cluster["spec"]["headGroupSpec"]["template"], cluster["spec"]["workerGroupSpecs"][0]["template"], app["spec"]["template"]]
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert container["image"] == "REGISTRY/dpm-explorer:TAG" and container["volumeMounts"] == [{"mountPath": "/data", "name": "data"}]
        assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == "dpm-data"
    environment = {entry["name"]: entry for entry in pods[2]["spec"]["containers"][0]["env"]}
    assert environment["DPM_CLUSTER"]["value"] == f"ray://{name}-head-svc:10001"
    assert environment["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == name
    assert service["spec"]["selector"] == app["spec"]["selector"]["matchLabels"] == app["spec"]["template"]["metadata"]["labels"]
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": service["metadata"]["name"], "port": {"number": service["spec"]["ports"][0]["port"]}}


def test_the_lock_has_the_requirements_and_a_hash_for_each():
    wanted = set(re.findall(r"^([\w-]+==\S+)$", (ROOT / "requirements.txt").read_text(), re.M))
    entries = re.split(r"\n(?=[a-z])", re.sub(r"^#.*\n", "", (ROOT / "requirements.lock").read_text(), flags=re.M))
    assert len(wanted) == 10 and wanted <= {entry.split(" ")[0] for entry in entries}
    assert all("--hash=sha256:" in entry for entry in entries)
