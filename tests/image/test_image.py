"""The container image: its Dockerfile as text, and the built image in containers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from exporter import __version__
from exporter.commands.flags import PORT
from exporter.simulator import Simulator, SimulatorSettings

from tests.image.containers import CONFINED, MOUNT, Engine
from tests.paths import ROOT
from tests.support.certificates import Certificates
from tests.support.daemon_process import configuration, until, written
from tests.support.programs import SCRIPTS, checked
from tests.support.scripted_peer import closed_port

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def instructions(name: str) -> list[str]:
    """Return the arguments of each use of an instruction, with joined lines."""
    joined = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)
    joined = re.sub(r"\\\n\s*", " ", joined)
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)


def test_the_dockerfile_passes_its_linter() -> None:
    checked(SCRIPTS / "hadolint", "Dockerfile")
    assert "hadolint ignore" not in DOCKERFILE


def test_stages_share_a_base_and_only_the_environment_leaves_the_build() -> None:
    """The base is an argument, which may have a digest; packages have hashes."""
    assert DOCKERFILE.index("\nARG BASE=") < DOCKERFILE.index("\nFROM ")
    assert instructions("ARG")[0] == "BASE=python:3.13-slim"
    assert instructions("FROM") == ["${BASE} AS build", "${BASE}"]
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"^COPY .*$|^ADD .*$", last, re.MULTILINE) == [
        "COPY --from=build /opt/braze-exporter /opt/braze-exporter"
    ]
    assert DOCKERFILE.count("pip download") == 1
    assert "--require-hashes" in instructions("RUN")[0]
    assert all("--no-index" in step for step in instructions("RUN")[1:2])


def test_the_image_has_entrypoint_user_and_health_check() -> None:
    assert instructions("ENTRYPOINT") == ['["braze-exporter"]']
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert instructions("USER") == ["65532:65532"]
    assert instructions("EXPOSE") == [str(PORT)]
    assert instructions("HEALTHCHECK")[0].endswith(
        'CMD ["braze-exporter", "healthcheck"]'
    )
    assert f"VERSION={__version__}" in instructions("ARG")


def test_what_reaches_the_build_is_an_allow_list() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    copied = [
        word
        for step in instructions("COPY")
        if "--from" not in step
        for word in step.split()[:-1]
    ]

    assert patterns[0] == "*"
    assert {one[1:] for one in patterns if one.startswith("!")} == set(copied)
    assert all((ROOT / name).exists() for name in copied)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Build the image once, or skip the test with the reason."""
    engine = Engine(f"localhost/braze-exporter:test-{os.getpid()}")
    if reason := os.environ.get("BRAZE_EXPORTER_NO_CONTAINERS"):
        pytest.skip(reason)
    if reason := engine.missing():
        is_required = os.environ.get("BRAZE_EXPORTER_REQUIRE_ALL") == "1"
        (pytest.fail if is_required else pytest.skip)(reason)
    engine.build()
    yield engine
    engine.podman("rmi", engine.image)


def readable(directory: Path) -> Path:
    """Let the container's user read what root wrote."""
    checked("chmod", "-R", "a+rX", directory)
    return directory


@pytest.mark.slow
def test_a_hundred_campaigns_fit_into_64_mib(engine: Engine, tmp_path: Path) -> None:
    """They are polled and scraped, the health check passes, and SIGTERM ends it."""
    with Simulator(SimulatorSettings(campaigns=100)) as braze:
        written(tmp_path / "config.yaml", configuration(braze, interval="5s"))
        settings = {"BRAZE_API_KEY": braze.api_key}
        with engine.container(
            environment=settings, mounted=readable(tmp_path)
        ) as container:
            daemon = container.serving("/-/ready")
            ups = daemon.scrape()["braze_campaign_up"]
            health = container.check_health()
            code = container.stop()
            log = container.log

    assert list(ups.values()) == [1.0] * 100
    assert (health, code) == (0, 0), log


@pytest.mark.slow
def test_the_memory_limit_is_enforced(engine: Engine) -> None:
    """A process above 96 MiB is killed, so the previous test is meaningful."""
    greedy = ("--entrypoint=python", engine.image, "-c", "bytearray(10**8)")

    assert engine.attempt("run", "--rm", *CONFINED, *greedy).returncode == 137


@pytest.mark.slow
def test_the_demo_runs_with_no_rights_at_all(engine: Engine) -> None:
    """`docker run IMAGE demo`: an unprivileged user, listening on all interfaces."""
    with engine.container("demo") as container:
        demo = container.serving("/-/ready")
        delivered = demo.scrape()["braze_campaign_daily"]
        status = container.execute("cat", "/proc/1/status").stdout
        touched = container.execute("touch", "/opt/braze-exporter/x", "/etc/x")
        health = container.check_health()
        log = container.log
        code = container.stop()

    facts = dict(re.findall(r"^(\w+):\s+(.*)$", status, re.MULTILINE))
    assert delivered
    assert re.search(rf"(\[::\]|0\.0\.0\.0):{container.port}\b", log)
    assert facts["Name"] == "braze-exporter"
    assert set(facts["Uid"].split() + facts["Gid"].split()) == {"65532"}
    assert {facts[name] for name in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
    assert facts["NoNewPrivs"] == "1"
    assert touched.returncode != 0
    assert (health, code) == (0, 0), log


@pytest.mark.slow
def test_the_health_check_speaks_tls_at_any_port(
    engine: Engine, tmp_path: Path
) -> None:
    """It reads the daemon's environment, and fails without a daemon."""
    Certificates(tmp_path)
    tls = {"cert_file": "cert.pem", "key_file": "key.pem"}
    written(tmp_path / "web.yaml", {"tls_server_config": tls})
    web = {"BRAZE_EXPORTER_WEB_CONFIG_FILE": f"{MOUNT}/web.yaml"}

    with engine.container(
        "demo", environment=web, mounted=readable(tmp_path)
    ) as container:
        until(lambda: container.check_health() == 0, what="a healthy container")
        elsewhere = container.execute(
            *("braze-exporter", "healthcheck"),
            *("--web.listen-address", f":{closed_port()}"),
        )

    assert elsewhere.returncode == 1
    assert elsewhere.stderr.startswith("unhealthy")


@pytest.mark.slow
def test_without_a_configuration_the_message_has_its_path(engine: Engine) -> None:
    ended = engine.attempt("run", "--rm", *CONFINED, engine.image)

    assert ended.returncode == 2
    assert f"{MOUNT}/config.yaml" in ended.stdout + ended.stderr


NOTHING_TO_BUILD_WITH = r"""
for name in pip pip3 gcc cc make git; do command -v "$name"; done
python -c 'import pip' 2>/dev/null && echo pip
python -c 'import hatchling' 2>/dev/null && echo hatchling
find / -xdev \( -path /proc -o -path /sys \) -prune -o -type f \
  \( -name 'pip*.whl' -o -name 'requirements.lock' -o -path '*/.cache/*' \) -print
find /opt /usr /etc -xdev ! -type l \( -user 65532 -o -perm -o+w \) -print
true
"""
ALL_COMPILED = """
import exporter, pathlib
from importlib.util import cache_from_source
root = pathlib.Path(exporter.__file__).parent.parent
for source in root.rglob("*.py"):
    compiled = pathlib.Path(cache_from_source(source))
    if not compiled.is_file() or compiled.read_bytes()[4:8] != bytes([1, 0, 0, 0]):
        print(source)
"""
"""Unchecked: on a read-only file system Python would compile at each start."""


@pytest.mark.parametrize(
    ("entrypoint", "code"),
    [("sh", NOTHING_TO_BUILD_WITH), ("python", ALL_COMPILED)],
    ids=["nothing to build with or to write to", "all compiled"],
)
@pytest.mark.slow
def test_the_image_holds_only_what_the_exporter_needs(
    engine: Engine, entrypoint: str, code: str
) -> None:
    assert engine.output(entrypoint, code) == ""


@pytest.mark.slow
def test_the_image_has_labels(engine: Engine) -> None:
    labels = json.loads(engine.podman("image", "inspect", engine.image))[0]["Labels"]

    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}title"] == "braze-exporter"
    assert labels[f"{prefix}version"] == __version__
    assert labels[f"{prefix}licenses"] == "Apache-2.0"
    assert {f"{prefix}description", f"{prefix}revision"} <= set(labels)
