"""compose.yaml: its services fit together, and listen only on this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

import pytest
import yaml

from tests.paths import ROOT
from tests.support.programs import SCRIPTS, checked

TEXT = (ROOT / "compose.yaml").read_text()
HEAD = TEXT.partition("\nname:")[0]
"""The comment at the top."""
SERVICES = ("exporter", "prometheus", "alertmanager", "grafana")

Service = Mapping[str, Any]


def services(**environment: str) -> Mapping[str, Service]:
    """Return the services, with `${NAME:-word}` and `${NAME:+word}` filled in."""

    def fill(match: re.Match[str]) -> str:
        name, sign, word = match.groups()
        value = environment.get(name, "")
        return (value or word) if sign == "-" else (word if value else "")

    text = re.sub(r"\$\{(\w+):([-+])([^}]*)\}", fill, TEXT)
    found: Mapping[str, Service] = yaml.safe_load(text)["services"]
    return found


def mounts(service: Service) -> dict[str, Path]:
    """Return the repository's files a service sees, by their place in it."""
    found = {}
    for volume in service["volumes"]:
        if isinstance(volume, str):
            source, target, *_ = volume.split(":")
            if source.startswith("."):
                found[target] = ROOT / source
        else:
            found[normpath(volume["target"])] = ROOT / volume["source"]
    return found


def seen(service: Service, place: str) -> Path:
    """Return the repository's file that a service sees at a place."""
    for target, source in mounts(service).items():
        if PurePosixPath(place).is_relative_to(target):
            return source / PurePosixPath(place).relative_to(target)
    raise AssertionError(f"nothing is mounted at {place}")


def flag(service: Service, name: str) -> str:
    """Return the value of a flag of a service's command."""
    flags = dict(word.partition("=")[::2] for word in service["command"])
    return str(flags[name])


def test_compose_accepts_the_file() -> None:
    schema = ("--builtin-schema", "vendor.compose-spec")

    checked(SCRIPTS / "check-jsonschema", *schema, "compose.yaml")
    assert tuple(services()) == SERVICES


@pytest.fixture(name="service", params=SERVICES)
def _service(request: pytest.FixtureRequest) -> Service:
    """Return each service."""
    return services()[request.param]


def test_a_service_is_pinned_checked_and_confined(service: Service) -> None:
    """It has an immutable tag, a health check, and minimal rights."""
    assert re.fullmatch(r"[\w./-]+:(v?\d+\.\d+\.\d+|local)", service["image"])
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_nothing_is_reached_from_other_machines(service: Service) -> None:
    """Each port is published on loopback only, and listed at the top of the file."""
    assert "network_mode" not in service
    for published in service["ports"]:
        assert published.startswith("127.0.0.1:")
        assert f"http://{published.rpartition(':')[0]}" in HEAD


def test_everything_mounted_is_there_and_read_only(service: Service) -> None:
    """A path that does not exist would become an empty directory, silently."""
    assert all(source.exists() for source in mounts(service).values())
    for volume in service["volumes"]:
        if isinstance(volume, str):
            is_read_only = "ro" in volume.rpartition(":")[2].split(",")
            assert is_read_only == volume.startswith(".")
        else:
            assert volume["read_only"]
            assert volume["bind"]["create_host_path"] is False


def test_the_only_password_is_documented() -> None:
    secrets = re.findall(r"PASSWORD: (.*)$", TEXT, re.MULTILINE)

    assert secrets == ["${GRAFANA_PASSWORD:-admin}"]
    assert "password admin, or GRAFANA_PASSWORD" in re.sub(r"\s+#?\s*", " ", HEAD)


@pytest.mark.parametrize(
    "file", ["config.yaml", "./mine/braze.yaml", "../braze.yaml", "/srv/braze.yaml"]
)
def test_one_variable_names_your_configuration(file: str) -> None:
    exporter = services(BRAZE_EXPORTER_CONFIG=file)["exporter"]

    (mount,) = (one for one in exporter["volumes"] if isinstance(one, dict))
    assert mount["source"] == file
    assert normpath(flag(exporter, "--config.file")) == normpath(mount["target"])


def test_without_a_configuration_it_is_the_demo_with_key_and_state() -> None:
    """The key's variable is passed on, and the state is in a volume."""
    exporter = services()["exporter"]

    assert exporter["command"] == ["demo"]
    assert exporter["environment"]["BRAZE_API_KEY"] is None
    kept = exporter["environment"]["BRAZE_EXPORTER_STATE_PATH"]
    assert f"exporter:{kept}" in exporter["volumes"]
    assert kept in (ROOT / "Dockerfile").read_text()


def test_prometheus_loads_its_configuration_and_all_rules(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    prometheus = services()["prometheus"]
    text = seen(prometheus, flag(prometheus, "--config.file")).read_text()
    for target, source in mounts(prometheus).items():
        text = text.replace(target, str(source.resolve()))
    copy = tmp_path / "prometheus.yml"
    copy.write_text(text)

    ended = checked(program("promtool"), "check", "config", copy)

    rules = len(list((ROOT / "grafana" / "rules").glob("*.yaml")))
    assert rules > 0
    assert ended.stdout.count("rules found") == rules


def test_addresses_are_services_of_the_file() -> None:
    running = services()
    ports = {
        f"{name}:{published.rpartition(':')[2]}"
        for name, service in running.items()
        for published in service["ports"]
    }
    prometheus = running["prometheus"]
    file = seen(prometheus, flag(prometheus, "--config.file"))
    config = yaml.safe_load(file.read_text())

    def targets(part: Service) -> list[str]:
        return [each for group in part["static_configs"] for each in group["targets"]]

    scraped = [each for job in config["scrape_configs"] for each in targets(job)]
    [alertmanager] = config["alerting"]["alertmanagers"]
    assert "exporter:10417" in scraped
    assert targets(alertmanager) == ["alertmanager:9093"]
    assert provisioned("datasources")["url"] == "http://prometheus:9090"
    assert {*scraped, *targets(alertmanager)} <= ports


def provisioned(kind: str) -> Service:
    """Return the data source or the provider that Grafana reads when it starts."""
    folder = seen(services()["grafana"], f"/etc/grafana/provisioning/{kind}")
    [file] = folder.glob("*.yaml")
    document = yaml.safe_load(file.read_text())
    [found] = document["providers" if kind == "dashboards" else kind]
    assert isinstance(found, dict)
    return found


def test_grafana_finds_the_dashboards_and_opens_the_overview() -> None:
    """The provider's folder is mounted, and the home page is one of its files."""
    grafana = services()["grafana"]
    variable = "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"
    home = seen(grafana, grafana["environment"][variable])

    source, provider = provisioned("datasources"), provisioned("dashboards")
    assert (source["uid"], source["type"]) == ("braze-prometheus", "prometheus")
    assert provider["allowUiUpdates"] is False
    files = list(seen(grafana, provider["options"]["path"]).glob("*.json"))
    assert all(json.loads(file.read_text())["uid"] for file in files)
    assert home in files
    assert json.loads(home.read_text())["uid"] == "braze-overview"
