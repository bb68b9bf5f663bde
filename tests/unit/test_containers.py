"""compose.yaml and the Dockerfile keep what docs/running/containers.md promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ktrdr.settings import Settings

ROOT = Path(__file__).parents[2]
SECRET = re.compile(r"\$\{[A-Z_]+:-trial-only\}")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return dict(loaded["services"])


@pytest.fixture(scope="module")
def dockerfile() -> list[str]:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()


def test_only_loopback_leads_to_the_backend(services: dict[str, Any]) -> None:
    """The backend's port is published on loopback, as its settings say, and no other port is."""
    assert services["backend"]["environment"]["KTRDR_PUBLISHED_ON_LOOPBACK"] == "true"
    assert {name: one["ports"] for name, one in services.items() if "ports" in one} == {
        "backend": ["127.0.0.1:8000:8000"]
    }


def test_every_service_has_time_to_stop(services: dict[str, Any]) -> None:
    """A stop waits 30 seconds: more than the 25 that a last checkpoint may take."""
    assert {one["stop_grace_period"] for one in services.values()} == {"30s"}
    assert services["ray"]["environment"]["RAY_JOB_STOP_WAIT_TIME_S"] == "25"


def test_what_must_survive_lies_in_volumes(services: dict[str, Any]) -> None:
    """The backend and the Ray node see one home under one path, and the database has a volume of its own."""
    assert services["backend"]["volumes"] == services["ray"]["volumes"] == ["home:/var/lib/ktrdr"]
    assert services["postgres"]["volumes"] == ["database:/var/lib/postgresql/data"]


def test_secrets_come_from_outside(services: dict[str, Any]) -> None:
    """A password or token is a variable whose default says "trial only", the same at both of its ends."""
    found = {
        f"{service}.{name}": SECRET.search(value)
        for service, one in services.items()
        for name, value in one["environment"].items()
        if re.search("PASSWORD|TOKEN|DATABASE_URL", name)
    }
    assert found
    assert {name for name, secret in found.items() if secret is None} == set()
    backend, ray = services["backend"]["environment"], services["ray"]["environment"]
    assert backend["KTRDR_DATABASE_URL"] == ray["KTRDR_DATABASE_URL"]
    assert backend["KTRDR_RAY_TOKEN"] == ray["RAY_AUTH_TOKEN"]


def test_no_service_relies_on_the_order_of_the_start(services: dict[str, Any]) -> None:
    """No `depends_on` has a condition, which not every engine honours and no restart repeats."""
    assert all(isinstance(one.get("depends_on", []), list) for one in services.values())


def test_the_backend_is_told_only_what_it_knows(services: dict[str, Any]) -> None:
    """Each KTRDR_ variable of a service is a setting."""
    named = {name for one in services.values() for name in one["environment"] if name.startswith("KTRDR_")}
    assert named <= {f"KTRDR_{name.upper()}" for name in Settings.model_fields}


def test_images_come_from_a_pinned_base(dockerfile: list[str]) -> None:
    """Every stage starts from one named release of Python, or from an earlier stage."""
    assert "ARG BASE=docker.io/library/python:3.11-slim-bookworm" in dockerfile
    assert [line.split()[1] for line in dockerfile if line.startswith("FROM ")] == [
        "${BASE}",
        "${BASE}",
        "backend",
    ]


@pytest.mark.parametrize("stage", ["backend", "ray"])
def test_images_run_as_nobody_special_and_report_their_health(dockerfile: list[str], stage: str) -> None:
    """Both images end as the fixed uid that owns the home, with a healthcheck of their own."""
    start = next(n for n, line in enumerate(dockerfile) if line.endswith(f" AS {stage}"))
    rest = dockerfile[start + 1 :]
    lines = rest[: next((n for n, line in enumerate(rest) if line.startswith("FROM ")), len(rest))]
    assert [line for line in lines if line.startswith("USER ")][-1] == "USER 10001:10001"
    assert sum(line.startswith("HEALTHCHECK ") for line in lines) == 1


def test_images_are_built_from_an_allow_list() -> None:
    """Nothing of the checkout is sent to a build that .dockerignore does not name."""
    lines = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line]
    assert next(line for line in lines if not line.startswith("#")) == "*"
