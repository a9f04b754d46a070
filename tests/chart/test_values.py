"""The chart's values: strict, explained, and each of them with an effect."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import reduce
from itertools import pairwise
from typing import Any

import pytest
import yaml
from exporter import __version__
from exporter.commands.flags import OF_DAEMON
from exporter.config import schema
from exporter.config.units import duration_seconds
from exporter.model.errors import ConfigError
from exporter.web import web_config

from tests.chart import schema_types
from tests.chart.helm import CHART, CI_FILES, Document, Helm, Refused, values_of
from tests.chart.readme_tables import README, keys, sections, written
from tests.paths import ROOT
from tests.support.certificates import HASH
from tests.unit.config.invalid_files import InvalidFile, invalid_files

VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
SECRET = "7f3e9a52-0000-4d1b-8a6b-feedfacebeef"
Path = tuple[str, ...]


def mappings(value: object, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every mapping whose keys are ours."""
    if isinstance(value, dict) and (value or not path):
        yield path
        for key, each in value.items():
            yield from mappings(each, (*path, key))


def leaves(value: object, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every value that is no mapping of ours."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from leaves(each, (*path, key))
    else:
        yield path


def at(path: Path, value: object) -> Document:
    """Return values that hold only this."""
    values: Any = value
    for key in reversed(path):
        values = {key: values}
    made: Document = values
    return made


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> Document:
    """Return values as Helm puts one file over another."""
    found = deepcopy(dict(first))
    for key, value in second.items():
        if isinstance(value, dict) and isinstance(found.get(key), dict):
            found[key] = merged(found[key], value)
        else:
            found[key] = deepcopy(value)
    return found


def get(values: Document, path: Path) -> Any:
    """Return the value at a path."""
    return reduce(lambda inner, key: inner[key], path, values)


def name(path: Path) -> str:
    """Write a path as it is written after `--set`."""
    return ".".join(path)


# Shared with other charts: what we do not read is no typo.
OPEN = {("global",)}
STRICT = [path for path in mappings(VALUES) if path not in OPEN]
LEAVES = list(leaves(VALUES))
FULL = {
    "workspaces": [
        {
            "name": "production",
            "endpoint": "https://rest.iad-01.braze.com",
            "api_key_env": "BRAZE_API_KEY",
            "campaigns": [{"id": "a", "name": "b", "labels": {"team": "crm"}}],
        }
    ]
}


@pytest.mark.parametrize("path", STRICT, ids=name)
def test_a_typo_is_an_error(helm: Helm, path: Path) -> None:
    """A key that there is not is refused by its name, at every level of the values."""
    for wrong in ("enabeld", "NameSpace", "x-y"):
        with pytest.raises(Refused, match=wrong):
            helm.render(at((*path, wrong), {}))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("resources", {"limit": {}}),
        ("resources", {"limits": {"memry": "64Mi"}}),
        ("resources", {"requests": {"cpus": 1}}),
        ("demo.resources", {"request": {}}),
        ("helmTest.resources", {"limits": {"memroy": "64Mi"}}),
        ("podSecurityContext", {"seccompProfile": {"typ": "RuntimeDefault"}}),
        ("podSecurityContext", {"enabled": True}),
        ("podSecurityContext", {"runAsUser": "65532"}),
        ("securityContext", {"capabilities": {"dorp": ["ALL"]}}),
        ("securityContext", {"readOnlyRootFileSystem": True}),
        ("extraEnv", [{"name": "A", "vaule": "b"}]),
        ("extraEnv", [{"name": "A", "value": 1}]),
        ("extraEnv", [{"name": "A", "valueFrom": {"secretRef": {"name": "a"}}}]),
        ("extraEnv", [None]),
        ("extraEnvFrom", [{"secret": {"name": "a"}}]),
        ("extraVolumes", [{"name": "a", "configMap": {"nmae": "b"}}]),
        ("extraVolumes", [{"name": "a", "secret": {"name": "b"}}]),
        ("extraVolumeMounts", [{"name": "a", "mountpath": "/a"}]),
        ("extraContainers", [{"name": "a", "image": "b", "comand": ["c"]}]),
        ("extraInitContainers", [{"name": "a", "ports": [{"port": 1}]}]),
        ("lifecycle", {"prestop": {}}),
        ("lifecycle", {"preStop": {"exec": {"cmd": ["a"]}}}),
        ("affinity", {"nodeAfinity": {}}),
        ("tolerations", [{"key": "a", "effct": "NoSchedule"}]),
        ("topologySpreadConstraints", [{"maxSkew": 1, "topologyKey": "zone"}]),
        ("hostAliases", [{"ip": "192.0.2.1", "hostname": "a"}]),
        ("dnsConfig", {"nameserver": ["192.0.2.53"]}),
        ("dnsConfig", {"options": [{"name": "ndots", "val": "1"}]}),
        ("persistence.selector", {"matchLabel": {"a": "b"}}),
        ("serviceMonitor.tlsConfig", {"insecureSkipVerfy": True}),
        ("podMonitor.tlsConfig", {"ca": {"secret": {"name": "a"}}}),
        ("podMonitor.tlsConfig", {"caFile": "/a"}),
        ("scrapeConfig.tlsConfig", {"key": {"name": "a", "key": "b"}}),
        ("serviceMonitor.relabelings", [{"sourceLabel": ["a"]}]),
        ("podMonitor.metricRelabelings", [{"action": "dorp"}]),
        ("prometheusRule.extraGroups", [{"name": "a", "rules": [{"expr": "b"}]}]),
        ("dashboards.grafanaOperator.instanceSelector", {"matchLabel": {}}),
        ("httpRoute.parentRefs", [{"name": "a", "sectionname": "b"}]),
        ("httpRoute.matches", [{"path": {"kind": "Exact"}}]),
        ("httpRoute.filters", [{"type": "URLRewrite", "rewrite": {}}]),
        ("networkPolicy.ingress.from", [{"namespaceselector": {}}]),
        ("networkPolicy.egress.to", [{"ipBlock": {"cdir": "0.0.0.0/0"}}]),
        ("networkPolicy.egress.dnsTo", [{"pods": {}}]),
        ("networkPolicy.egress.redisTo", [{"pods": {}}]),
        ("networkPolicy.ingress.extra", [{"to": []}]),
        ("networkPolicy.egress.extra", [{"from": []}]),
    ],
)
def test_a_typo_in_what_kubernetes_defines_is_an_error(
    helm: Helm, place: str, value: object
) -> None:
    """Fields of Kubernetes, its operators and its gateways are known by their names."""
    path = tuple(place.split("."))

    with pytest.raises(Refused, match=f"at '/{'/'.join(path)}"):
        helm.render(at(path, value))


def test_every_field_of_kubernetes_may_be_set(helm: Helm) -> None:
    """What is rare or new is let through too, and null as Kubernetes takes it."""
    values: Document = {
        "resources": {"limits": {"memory": None, "example.com/gpu": 1}},
        "podSecurityContext": {"runAsUser": None, "supplementalGroupsPolicy": "Strict"},
        "extraEnv": [
            {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        ],
        "extraVolumes": [
            {"name": "a", "csi": {"driver": "example.com", "readOnly": True}},
            {"name": "b", "image": {"reference": "example.com/a:1"}},
            {"name": "c", "emptyDir": {}},
        ],
        "extraInitContainers": [
            {
                "name": "a",
                "image": "b",
                "restartPolicy": "Always",
                "env": [{"name": "A"}],
            }
        ],
        "affinity": {"podAntiAffinity": None},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    }

    assert helm.render(values).pod["volumes"][-3:] == values["extraVolumes"]


def test_the_schema_has_kubernetes_current_types() -> None:
    """They are those of the newest Kubernetes that the tests know."""
    text = schema_types.SCHEMA.read_text(encoding="utf-8")

    assert text == schema_types.written(text), "run `make chart-docs`"


@pytest.mark.parametrize("path", LEAVES, ids=name)
def test_each_key_written_wrongly_is_an_error(helm: Helm, path: Path) -> None:
    """Each key of values.yaml with one letter more is refused."""
    if path[:-1] in OPEN:
        return

    wrong = f"{path[-1]}s"

    with pytest.raises(Refused, match=wrong):
        helm.render(at((*path[:-1], wrong), get(VALUES, path)))


@pytest.mark.parametrize("path", LEAVES, ids=name)
def test_a_value_of_another_type_is_an_error(helm: Helm, path: Path) -> None:
    """A value that is no text, number, list or mapping as expected is refused."""
    value = get(VALUES, path)

    wrong = [1] if isinstance(value, dict) else {"a": [1]}

    with pytest.raises(Refused, match=path[-1]):
        helm.render(at(path, wrong))


@pytest.mark.parametrize("path", LEAVES, ids=name)
def test_null_is_harmless_or_an_error(helm: Helm, path: Path) -> None:
    """Null, which removes a value in Helm, is told of or leaves nothing strange."""
    try:
        rendered = helm.render(at(path, None))
    except Refused as refused:
        assert "schema" in str(refused)  # noqa: PT017 - either way is right
        return

    for text in rendered.texts.values():
        assert "<nil>" not in text
        assert "null" not in text.replace('"null"', "")


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (("workspaces", 0), "endpont"),
        (("workspaces", 0), "api_key"),
        (("workspaces", 0, "campaigns", 0), "nmae"),
        ((), "window"),
        ((), "Workspaces"),
    ],
)
def test_a_typo_in_the_configuration_is_an_error(
    helm: Helm, path: tuple[str | int, ...], key: str
) -> None:
    """The exporter's configuration is checked before anything is installed."""
    document: Any = deepcopy(FULL)
    place = document
    for part in path:
        place = place[part]
    place[key] = "x"

    with pytest.raises(Refused, match=key):
        helm.render({"config": document})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interval": "5 m"}, "interval"),
        ({"interval": 300}, "interval"),
        ({"timeout": ""}, "timeout"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"requests_per_minute": "120"}, "requests_per_minute"),
        ({"concurrency": 65}, "concurrency"),
        ({"endpoint": "rest.iad-01.braze.com"}, "endpoint"),
        ({"name": ""}, "name"),
        ({"campaigns": [{"id": "a", "name": "x" * 257}]}, "name"),
        ({"campaigns": [{"id": "a"}]}, "name"),
        ({"idle_interval": "1 h"}, "idle_interval"),
        ({"campaigns": []}, "workspaces/0/campaigns"),
        ({"discover": {"tags": {"some": ["x"]}}}, "some"),
        ({"discover": {"labels": {"job": "tags"}}}, "job"),
        ({"campaigns": [{"id": "a", "name": "b", "labels": {"job": "x"}}]}, "job"),
        ({"campaigns": [{"id": "a", "name": "b", "labels": {"a-b": "x"}}]}, "a-b"),
        ({"campaigns": [{"id": "a", "name": "b", "labels": {"a": 1}}]}, "labels/a"),
        (
            {"campaigns": [{"id": "a", "name": "b"}, {"id": "A", "name": "c"}]},
            r"campaigns\[1\].id",
        ),
        (
            {"campaigns": [{"id": "a", "name": "b"}, {"id": "c", "name": "b"}]},
            r"campaigns\[1\].name",
        ),
    ],
)
def test_what_the_exporter_refuses_is_refused_before(
    helm: Helm, change: Document, message: str
) -> None:
    """The commonest mistakes stop an upgrade, and the exporter that runs goes on."""
    workspace = FULL["workspaces"][0] | change

    with pytest.raises(Refused, match=message):
        helm.render({"config": {"workspaces": [workspace]}})


UNSEEN = {
    "ca_file_control",  # what may be a path, a time zone, a port, a character
    "ca_file_missing",
    "endpoint_port",
    "name_control",
    "timezone",
    "timezone_directory",
    "response_bytes_large",
    "key_blank",  # what a key is
    "key_empty",
    "key_not_ascii",
    "key_spaced",
    "key_unreadable",
    "key_unset",
    "key_unset_in_small_letters",
    "concurrency_octal",  # what YAML is
    "name_date",
    "yaml_anchor",
    "yaml_merge_key",
}
"""What the exporter refuses and the chart cannot, or need not."""


@pytest.mark.parametrize("case", invalid_files(), ids=lambda case: case.name)
def test_the_chart_refuses_what_the_exporter_refuses(
    helm: Helm, case: InvalidFile
) -> None:
    """Each way to get an option wrong, and no doubt that stops nothing."""
    try:
        document = yaml.safe_load(case.text)
    except yaml.YAMLError:
        return  # Helm says it
    if not isinstance(document, dict):
        return
    values = json.loads(json.dumps({"config": document}, default=str))

    if case.name in UNSEEN or all(": warning: " in line for line in case.problems):
        assert helm.render(values).documents
    else:
        with pytest.raises(Refused):
            helm.render(values)


@pytest.mark.parametrize(
    ("workspace", "option"),
    [
        ({"api_key_env": SECRET}, "api_key_env"),
        ({"api_key_env": f"Bearer {SECRET}"}, "api_key_env"),
        ({"api_key_file": SECRET}, "api_key_file"),
        ({"api_key_file": f"/etc/{SECRET[3:]}"}, "api_key_file"),
        ({"api_key": SECRET}, "api_key"),
    ],
)
def test_a_key_in_the_wrong_place_is_in_no_message(
    helm: Helm, workspace: Document, option: str
) -> None:
    """It would be in a ConfigMap for all to see; the refusal does not repeat it."""
    place = {k: v for k, v in FULL["workspaces"][0].items() if k != "api_key_env"}

    with pytest.raises(Refused, match=option) as refused:
        helm.render({"config": {"workspaces": [place | workspace]}})

    assert SECRET[3:] not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (
            {"proxy": "http://user:pa55word@proxy:3128"},
            {},
            r"workspaces\[0\].proxy has a password, .* expected configInSecret: true",
        ),
        (
            {},
            {"extraEnv": [{"name": "BRAZE_API_KEY", "value": SECRET}]},
            "extraEnv: BRAZE_API_KEY .* expected valueFrom.secretKeyRef",
        ),
    ],
)
def test_a_secret_that_all_could_read_is_refused(
    helm: Helm, change: Document, more: Document, message: str
) -> None:
    """It would stand in a ConfigMap or in the pod's manifest; no message repeats it."""
    workspace = FULL["workspaces"][0] | change

    with pytest.raises(Refused, match=message) as refused:
        helm.render({"config": {"workspaces": [workspace]}} | more)

    assert "pa55word" not in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "more"),
    [
        ({"proxy": "http://user:pa55word@proxy:3128"}, {"configInSecret": True}),
        ({"proxy": "http://user@proxy:3128"}, {}),
        ({"proxy": "http://proxy:3128"}, {}),
        ({}, {"extraEnv": [{"name": "BRAZE_API_KEY", "value": "$(FROM_ELSEWHERE)"}]}),
        ({}, {"extraEnv": [{"name": "OTHER", "value": SECRET}]}),
    ],
)
def test_what_is_no_secret_is_let_through(
    helm: Helm, change: Document, more: Document
) -> None:
    """A password in a Secret, a proxy without one, a variable made of another."""
    workspace = FULL["workspaces"][0] | change

    assert helm.render({"config": {"workspaces": [workspace]}} | more).documents


def test_a_key_may_stand_in_a_directory_named_as_keys_are(helm: Helm) -> None:
    """Kubernetes names directories by UUIDs."""
    workspace = FULL["workspaces"][0] | {"api_key_file": f"/keys/{SECRET}/braze"}
    del workspace["api_key_env"]

    assert helm.render({"config": {"workspaces": [workspace]}}).documents


def test_workspaces_have_names_of_their_own(helm: Helm) -> None:
    """Two workspaces of one name are refused."""
    with pytest.raises(Refused, match=r"config.workspaces\[1\].name"):
        helm.render({"config": {"workspaces": FULL["workspaces"] * 2}})


@pytest.mark.parametrize(
    "text", ["90s", "5m", "1h30m", "7d", "1w", "500ms", "1y", "52w3h"]
)
def test_every_duration_of_the_exporter_is_let_through(helm: Helm, text: str) -> None:
    """The schema is not stricter than the exporter."""
    assert duration_seconds(text)

    assert text in helm.render({"config": FULL | {"stale_after": text}}).config


LADDER = (
    *("0s", "1ms", "999ms", "1s", "10m", "601s", "3599s", "1h", "23h", "1d", "7d"),
    *("169h", "90d", "2161h", "98d", "99d", "365d", "8761h", "3650d", "87601h"),
)
"""Durations, ascending; every bound of the exporter is a step of it."""


def with_duration(place: Path, text: str) -> Document:
    """Return a configuration with a duration at a place of it."""
    whole: Document = {**deepcopy(FULL), "windows": [], "stale_after": "1h"}
    (workspace,) = whole["workspaces"]
    workspace["discover"] = {"names": {"include": ["*"]}}
    parts: dict[str, Any] = {
        "config": whole,
        "workspace": workspace,
        "discover": workspace["discover"],
        "campaign": workspace["campaigns"][0],
    }
    part, option = place
    parts[part][option] = [text] if option == "windows" else text
    return whole


def is_usable(document: Document) -> bool:
    """Tell whether the exporter takes a configuration."""
    try:
        schema.parse(
            yaml.safe_dump(document),
            file="config.yaml",
            read_key=lambda _: SECRET,
            is_file=lambda _: True,
        )
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize(
    "place",
    [
        ("config", "stale_after"),
        ("config", "windows"),
        ("workspace", "interval"),
        ("workspace", "idle_interval"),
        ("workspace", "timeout"),
        ("discover", "list_interval"),
        ("discover", "sent_within"),
        ("discover", "grace"),
        ("campaign", "interval"),
    ],
    ids=name,
)
def test_durations_have_the_bounds_of_the_exporter(helm: Helm, place: Path) -> None:
    """The least and the most are let through, and what is next to them is refused."""
    usable = [text for text in LADDER if is_usable(with_duration(place, text))]
    least, most = LADDER.index(usable[0]), LADDER.index(usable[-1])

    for text in {usable[0], usable[-1]}:
        assert helm.render({"config": with_duration(place, text)}).documents
    for text in LADDER[max(least - 1, 0) : least] + LADDER[most + 1 : most + 2]:
        with pytest.raises(Refused, match="expected"):
            helm.render({"config": with_duration(place, text)})


def test_the_example_configuration_is_let_through(helm: Helm) -> None:
    """config.example.yaml, every option of it, can be used for `config` as it is."""
    text = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    every = re.sub(r"(?m)^( *)#(?=[a-z_]+:)", r"\1", text)

    for example in (text, every):
        document = yaml.safe_load(example)
        for workspace in document["workspaces"]:
            if len({"api_key_env", "api_key_file"} & set(workspace)) == 2:
                del workspace["api_key_file"]
        assert yaml.safe_load(helm.render({"config": document}).config) == document


def objects(part: object, place: str = "") -> Iterator[tuple[str, Document]]:
    """Yield every part of the schema that lists keys."""
    if isinstance(part, dict):
        if "properties" in part and part.get("type") == "object":
            yield place, part
        for key, each in part.items():
            yield from objects(each, f"{place}/{key}")


def test_the_schema_leaves_no_mapping_of_ours_open() -> None:
    """Wherever the schema lists keys, it refuses all others; `global` is shared."""
    is_open = [
        place
        for place, part in objects(SCHEMA)
        if part.get("additionalProperties") is not False
    ]

    assert is_open == []
    assert len(list(objects(SCHEMA))) > 30


@pytest.mark.parametrize(
    ("web", "wrong"),
    [
        ({"tls_server_confg": {}}, "tls_server_confg"),
        ({"tls_server_config": {"cert_fil": "x"}}, "cert_fil"),
        ({"tls_server_config": {"client_auth_type": "Require"}}, "client_auth_type"),
        ({"http_server_config": {"headers": {"X-Frame": "deny"}}}, "X-Frame"),
        ({"rate_limit": {"bust": 1}}, "bust"),
        ({"basic_auth_users": {"name": 1}}, "name"),
        ({"basic_auth_users": {"name": "hunter2"}}, "name"),
        ({"basic_auth_users": {"name": HASH.replace("$2", "$3")}}, "name"),
        ({"basic_auth_users": {"na:me": HASH}}, "na:me"),
        ({"tls_server_config": {"client_allowed_sans": []}}, "client_allowed_sans"),
        ({"tls_server_config": {"cipher_suites": ["TLS_AES"]}}, "cipher_suites"),
        (
            {"tls_server_config": {"curve_preferences": ["X25519", "CurveP256"]}},
            "curve_preferences",
        ),
        ({"tls_server_config": {"curve_preferences": ["P256"]}}, "curve_preferences"),
        ({"rate_limit": {"interval": "1 s", "burst": 1}}, "interval"),
        ({"rate_limit": {"interval": 5, "burst": 1}}, "interval"),
    ],
)
def test_a_typo_in_the_web_configuration_is_an_error(
    helm: Helm, web: Document, wrong: str
) -> None:
    """The web configuration is checked before anything is installed."""
    with pytest.raises(Refused, match=wrong):
        helm.render({"webConfig": web})


def options(definition: Document) -> set[str]:
    """Return the options that a part of the schema knows."""
    return set(definition["properties"])


def test_the_schema_knows_the_options_of_the_web_configuration() -> None:
    """Those of the configuration are compared in tests/docs/test_configuration.py."""
    known = SCHEMA["definitions"]
    web = known["webConfig"]["properties"]

    assert options(known["webConfig"]) == set(web_config.WEB_CONFIG)
    assert options(web["tls_server_config"]) == set(web_config.TLS_SERVER)
    assert options(web["http_server_config"]) == set(web_config.HTTP_SERVER)
    assert options(web["rate_limit"]) == set(web_config.RATE_LIMIT)
    tls = web["tls_server_config"]["properties"]
    assert set(tls["cipher_suites"]["items"]["enum"]) == set(web_config.CIPHERS)
    assert set(tls["curve_preferences"]["items"]["enum"]) == set(web_config.CURVES)
    headers = web["http_server_config"]["properties"]["headers"]
    assert options(headers) == set(web_config.HEADERS)


@pytest.mark.parametrize("flag", OF_DAEMON, ids=lambda flag: flag.name)
def test_flags_with_a_value_of_their_own_are_refused(helm: Helm, flag: Any) -> None:
    """A flag that the chart gives is no extra argument in any form, and no variable."""
    if flag.name == "config.check":
        return

    forms = [[f"--{flag.name}=x"], [f"--{flag.name}", "x"]]
    if flag.is_switch:
        forms.append([f"--no-{flag.name}"])

    for arguments in forms:
        with pytest.raises(Refused, match=rf"extraArgs: {arguments[0].split('=')[0]}"):
            helm.render({"extraArgs": arguments})
    with pytest.raises(Refused, match=f"extraEnv: {flag.variable}"):
        helm.render({"extraEnv": [{"name": flag.variable, "value": "x"}]})


KEY = {"secretName": "braze", "key": "api-key", "file": "one"}
BASIC_AUTH = {
    "username": {"name": "scrape", "key": "username"},
    "password": {"name": "scrape", "key": "password"},
}
SHOWN = {
    "cert": {"secret": {"name": "client", "key": "tls.crt"}},
    "keySecret": {"name": "client", "key": "tls.key"},
}
TLS = {"tls": {"secretName": "braze-tls", "caKey": "ca.crt"}}
NO_CA = {"tls": {"secretName": "braze-tls"}}
MONITORS = ("serviceMonitor", "podMonitor", "scrapeConfig")


def tls_server(**options: object) -> Document:
    """Return values of a server that takes these options beside its certificate."""
    return TLS | {"webConfig": {"tls_server_config": options}}


def clients(**options: object) -> Document:
    """Return values of a server whose clients have to show a certificate."""
    return tls_server(
        client_auth_type="RequireAndVerifyClientCert",
        client_ca_file="/etc/braze-exporter/tls/ca.crt",
        **options,
    )


NAMED = clients(client_allowed_sans=["prometheus.example.com"])
NO_PROBE = {
    name: {"enabled": False}
    for name in ("startupProbe", "livenessProbe", "readinessProbe", "helmTest")
}
OWN_KEY = FULL["workspaces"][0] | {"api_key_file": "/etc/braze-exporter/keys/two"}
TWO_KEYS = {"workspaces": [OWN_KEY]}
FILE_KEY = {"workspaces": [{k: v for k, v in OWN_KEY.items() if k != "api_key_env"}]}
NO_KEY = {
    "workspaces": [{k: v for k, v in OWN_KEY.items() if not k.startswith("api_key")}]
}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"demo": {"enabled": False}}, "there is no configuration; expected config"),
        ({"web": {"port": 10418}}, "web.port is 10418, where"),
        ({"web": {"telemetryPath": "/config"}}, "web/telemetryPath"),
        ({"config": {"windows": ["7d"]}}, "config has no workspaces"),
        ({"config": TWO_KEYS}, "has api_key_file and api_key_env"),
        ({"config": NO_KEY}, r"workspaces\[0\]: where is the key\?"),
        ({"config": FILE_KEY}, "no entry of apiKeys has `file: two`"),
        ({"config": FILE_KEY, "apiKeys": [KEY]}, "no entry of apiKeys"),
        ({"apiKeys": [KEY, KEY]}, "two keys have the file"),
        ({"apiKeys": [KEY | {"file": "demo"}]}, "two keys have the file"),
        (
            {"config": FULL, "existingConfig": {"secret": "x"}},
            "config and existingConfig are both set",
        ),
        ({"existingConfig": {"secret": "x", "configMap": "y"}}, "one of the two"),
        ({"existingWebConfig": {"secret": "x", "configMap": "y"}}, "one of the two"),
        (
            {
                "webConfig": {"basic_auth_users": {"a": HASH}},
                "existingWebConfig": {"secret": "x"},
            },
            "webConfig and existingWebConfig are both set",
        ),
        (
            {"webConfig": {"tls_server_config": {"min_version": "TLS13"}}},
            "has no certificate; expected tls.secretName",
        ),
        (
            {"persistence": {"enabled": True}, "state": {"enabled": False}},
            "expected both or neither",
        ),
        (
            {"persistence": {"existingClaim": "kept"}},
            "persistence.existingClaim .* expected persistence.enabled",
        ),
        (
            {"service": {"nodePort": 30417}},
            "service.nodePort .* expected service.type NodePort or LoadBalancer",
        ),
        (
            {"existingWebConfig": {"tls": True}},
            "existingWebConfig.tls .* expected existingWebConfig.secret or configMap",
        ),
        (
            {"existingWebConfig": {"secret": "web", "clientCertificates": True}},
            "clientCertificates .* expected existingWebConfig.tls",
        ),
        (
            tls_server(cert="a", cert_file="b"),
            "cert and cert_file are both set; expected one of the two",
        ),
        (
            tls_server(client_auth_type="RequireAndVerifyClientCert"),
            r"by what authority\? expected client_ca_file",
        ),
        (
            tls_server(client_ca_file="/a"),
            "client_ca_file: no client is asked .* expected client_auth_type: Require",
        ),
        (
            tls_server(
                client_auth_type="VerifyClientCertIfGiven",
                client_ca_file="/a",
                client_allowed_sans=["b"],
            ),
            "client_allowed_sans: expected client_auth_type: RequireAndVerify",
        ),
        (
            tls_server(min_version="TLS13", max_version="TLS12"),
            "max_version is below min_version",
        ),
        (NAMED, "client_allowed_sans .* expected healthcheckCertificate.secretName"),
        (
            NAMED | NO_PROBE | {"helmTest": {"enabled": True}},
            "client_allowed_sans .* expected healthcheckCertificate.secretName",
        ),
        (
            {"webConfig": {"rate_limit": {"interval": "1s"}}},
            "rate_limit: nobody would be answered; expected a burst",
        ),
        (
            {"dnsPolicy": "None"},
            "dnsPolicy is None, .* expected dnsConfig.nameservers",
        ),
        (
            {"service": {"type": "NodePort", "clusterIP": "None"}},
            "service.type is NodePort, .* expected type ClusterIP",
        ),
        (
            {"service": {"type": "LoadBalancer", "clusterIP": "None"}},
            "service.type is LoadBalancer, .* expected type ClusterIP",
        ),
        (
            {
                "service": {
                    "ipFamilyPolicy": "SingleStack",
                    "ipFamilies": ["IPv4", "IPv6"],
                }
            },
            "service.ipFamilies are two; expected .* PreferDualStack",
        ),
        (
            {"service": {"ipFamilies": ["IPv4", "IPv6"]}},
            "service.ipFamilies are two; expected .* PreferDualStack",
        ),
        (
            {"fullnameOverride": "7-braze"},
            "7-braze begins with a digit, .* expected fullnameOverride",
        ),
        ({"image": {"digest": f"sha256:{'a' * 63}"}}, "/image/digest"),
        ({"apiKeys": [KEY | {"file": "..data"}]}, "/apiKeys/0/file"),
        ({"tls": TLS["tls"] | {"certKey": ".."}}, "/tls/certKey"),
        ({"existingConfig": {"secret": "a", "key": "."}}, "/existingConfig/key"),
        ({"persistence": {"enabled": True, "size": ""}}, "/persistence/size"),
        ({"persistence": {"enabled": True, "size": "0Gi"}}, "/persistence/size"),
        ({"service": {"clusterIP": "none"}}, "/service/clusterIP"),
        (
            {"httpRoute": {"enabled": True}},
            "httpRoute.parentRefs is empty; expected a gateway",
        ),
        ({"state": {"path": "/tmp"}}, "state.path: the chart mounts /tmp"),  # noqa: S108 - the chart's own
        (
            {"state": {"path": "/etc/braze-exporter"}},
            "state.path: the chart mounts /etc/braze-exporter/c",
        ),
        (
            {"state": {"path": "/etc/braze-exporter/keys/state"}},
            "state.path: the chart mounts /etc/braze-exporter/keys",
        ),
        (
            {"extraVolumes": [{"name": "tmp", "emptyDir": {}}]},
            "extraVolumes: the name tmp is taken; expected another",
        ),
        (
            {"extraVolumes": [{"name": "client", "emptyDir": {}}]},
            "extraVolumes: the name client is taken",
        ),
        (
            {"extraVolumes": [{"name": "a", "emptyDir": {}}] * 2},
            "extraVolumes: the name a is taken",
        ),
        (
            {"extraContainers": [{"name": "exporter", "image": "a"}]},
            "extraContainers: the name exporter is taken",
        ),
        (
            {
                "extraInitContainers": [{"name": "a", "image": "a"}],
                "extraContainers": [{"name": "a", "image": "a"}],
            },
            "the name a is taken",
        ),
        (
            {
                "extraContainers": [
                    {"name": "a", "ports": [{"name": "metrics", "containerPort": 1}]}
                ]
            },
            "extraContainers: the port metrics of a .* expected another",
        ),
        (
            {"extraContainers": [{"name": "a", "ports": [{"containerPort": 10417}]}]},
            "extraContainers: the port 10417 of a .* expected another",
        ),
        (
            {"extraVolumeMounts": [{"name": "a", "mountPath": "/tmp/"}]},  # noqa: S108 - the chart's own
            "extraVolumeMounts: /tmp/: the chart mounts /tmp",
        ),
        (
            {"extraVolumeMounts": [{"name": "a", "mountPath": "/etc"}]},
            "extraVolumeMounts: /etc: the chart mounts /etc/braze-exporter/c",
        ),
        (
            {
                "extraVolumeMounts": [
                    {"name": "a", "mountPath": "/etc/braze-exporter/tls/more"}
                ]
            },
            "extraVolumeMounts: .* the chart mounts /etc/braze-exporter/tls",
        ),
        (
            {
                "state": {"path": "/state"},
                "extraVolumeMounts": [{"name": "a", "mountPath": "/state"}],
            },
            "extraVolumeMounts: /state: the chart mounts /state",
        ),
        (
            {
                "networkPolicy": {"enabled": True},
                "extraEnv": [
                    {
                        "name": "https_proxy",
                        "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}},
                    }
                ],
            },
            "port of https_proxy .* expected networkPolicy.egress.ports",
        ),
        (
            {
                "prometheusRule": {
                    "enabled": True,
                    "thresholds": {"BrazeNoSuchAlert": {"ratio": 1}},
                }
            },
            "there is no BrazeNoSuchAlert.ratio; expected one of Braze",
        ),
        (
            {
                "prometheusRule": {
                    "enabled": True,
                    "thresholds": {"BrazeEmailBounceRateHigh": {"ratio": 0.1}},
                }
            },
            "there is no BrazeEmailBounceRateHigh.ratio; expected one of",
        ),
        (
            {"prometheusRule": {"enabled": True, "disabledAlerts": ["Nothing"]}},
            "there is no alert Nothing; expected one of Braze",
        ),
    ],
)
def test_contradictions_are_told_with_a_way_out(
    helm: Helm, values: Document, message: str
) -> None:
    """Values that contradict each other fail, and the message names what to set."""
    with pytest.raises(Refused, match=message):
        helm.render(values)


@pytest.mark.parametrize("monitor", MONITORS)
@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        (TLS, {"namespace": "monitoring"}, "namespace .* expected .*tlsConfig"),
        (NO_CA, {}, "nothing verifies .* expected tls.caKey, or .*tlsConfig"),
        (
            {"existingWebConfig": {"secret": "web", "tls": True}},
            {},
            "nothing verifies .* expected .*tlsConfig",
        ),
        (clients(), {}, "clients have to show .* expected cert and keySecret"),
        (
            clients(),
            {"tlsConfig": {"insecureSkipVerify": True, "cert": SHOWN["cert"]}},
            "clients have to show .* expected cert and keySecret",
        ),
        (
            {"webConfig": {"basic_auth_users": {"a": HASH}}},
            {},
            "asks for a password; expected .*basicAuth",
        ),
        ({}, {"scrapeTimeout": "61s"}, "scrapeTimeout is longer than .*interval"),
        ({}, {"interval": "1m", "scrapeTimeout": "1m1ms"}, "scrapeTimeout is longer"),
    ],
)
def test_a_monitor_that_cannot_scrape_is_refused(
    helm: Helm, monitor: str, values: Document, settings: Document, message: str
) -> None:
    """It would be rendered, and its target down: the message says what is missing."""
    with pytest.raises(Refused, match=rf"{monitor}\b.*{message}"):
        helm.render(values | {monitor: settings | {"enabled": True}})


@pytest.mark.parametrize("monitor", MONITORS)
@pytest.mark.parametrize(
    ("values", "settings"),
    [
        (TLS, {"namespace": "prod"}),
        (TLS, {"namespace": "monitoring", "tlsConfig": {"serverName": "a"}}),
        (TLS | {"namespaceOverride": "marketing"}, {"namespace": "marketing"}),
        (NO_CA, {"tlsConfig": {"insecureSkipVerify": True}}),
        (clients(), {"tlsConfig": SHOWN}),
        (
            {"webConfig": {"basic_auth_users": {"a": HASH}}},
            {"basicAuth": BASIC_AUTH, "namespace": "monitoring"},
        ),
        ({}, {"interval": "1h", "scrapeTimeout": "1m30s"}),
        ({}, {"interval": "", "scrapeTimeout": "2m"}),
    ],
)
def test_a_monitor_that_can_scrape_is_rendered(
    helm: Helm, monitor: str, values: Document, settings: Document
) -> None:
    """With all that the web configuration asks for, in whatever namespace."""
    rendered = helm.render(values | {monitor: settings | {"enabled": True}})

    (made,) = rendered.all(f"{monitor[0].upper()}{monitor[1:]}")
    namespace = settings.get("namespace") or "prod"
    assert made["metadata"]["namespace"] == namespace


def test_an_endpoint_may_show_a_certificate_of_files(helm: Helm) -> None:
    """A ServiceMonitor may name files in Prometheus' own file system."""
    files = {"caFile": "/ca", "certFile": "/cert", "keyFile": "/key"}

    rendered = helm.render(
        clients() | {"serviceMonitor": {"enabled": True, "tlsConfig": files}}
    )

    (endpoint,) = rendered.one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["tlsConfig"] == files


@pytest.mark.parametrize(
    "values",
    [
        NAMED | {"healthcheckCertificate": {"secretName": "probe"}},
        NAMED | NO_PROBE,
        clients(),
        {"service": {"clusterIP": "None"}},
        {"service": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]}},
        {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.53"]}},
        {"state": {"path": "/tmp/state"}},  # noqa: S108 - the chart's own
        {"state": {"enabled": False, "path": "/tmp"}},  # noqa: S108 - the chart's own
        {"extraVolumeMounts": [{"name": "a", "mountPath": "/tmp/a"}]},  # noqa: S108 - the chart's own
        {"extraVolumeMounts": [{"name": "a", "mountPath": "/etc/braze-exporter/more"}]},
        {"extraContainers": [{"name": "a", "ports": [{"containerPort": 80}]}]},
        {"webConfig": {"rate_limit": {"interval": "0s"}}},
    ],
)
def test_what_agrees_is_rendered(helm: Helm, values: Document) -> None:
    """Nothing is refused that can work."""
    assert helm.render(values).documents


def test_a_parent_chart_may_switch_it_by_a_condition(helm: Helm) -> None:
    """`enabled`, which a dependency's condition reads, and `global` are let through."""
    rendered = helm.render({"enabled": True, "global": {"other": {"chart": 1}}})

    assert rendered.documents


def test_every_value_is_explained() -> None:
    """Each key of values.yaml has a comment that says what it does."""
    explained = {tuple(each.name.split(".")) for each in keys() if each.text}

    missing = [name(path) for path in LEAVES if path not in explained]
    assert missing == []


def test_every_part_is_explained() -> None:
    """Each mapping in values.yaml has a comment right above it."""
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()

    bare = [
        line
        for above, line in pairwise(lines)
        if re.match(r" *\w+:", line) and not above.lstrip().startswith("#")
    ]
    assert bare == []


def test_every_value_is_in_one_section() -> None:
    """README's tables have each key once."""
    names = [each.name for section in sections() for each in section.keys]

    assert sorted(names) == sorted(map(name, LEAVES))


def test_every_switch_is_tried() -> None:
    """The files of ci/ have every boolean both ways, the default counted."""
    tried: dict[Path, set[bool]] = {}
    for file in CI_FILES:
        values = merged(VALUES, values_of(file))
        for path in LEAVES:
            value = get(values, path)
            if isinstance(value, bool):
                tried.setdefault(path, set()).add(value)

    untried = [name(path) for path, seen in tried.items() if len(seen) < 2]
    assert untried == ["podSecurityContext.runAsNonRoot", *UNSAFE]


UNSAFE = [
    "securityContext.allowPrivilegeEscalation",
    "securityContext.readOnlyRootFilesystem",
]
"""Beside runAsNonRoot: switches that the level "restricted" has one way only."""

OTHER_RESOURCES = {"limits": {"memory": "1Gi"}}

# Values that are not just any → another one that is allowed.
CHOICES: Mapping[Path, object] = {
    ("log", "level"): "debug",
    ("log", "format"): "json",
    ("image", "digest"): f"sha256:{'b' * 64}",
    ("image", "pullPolicy"): "Never",
    ("dnsPolicy",): "Default",
    ("service", "type"): "NodePort",
    ("service", "clusterIP"): "192.0.2.1",
    ("service", "ipFamilyPolicy"): "RequireDualStack",
    ("service", "externalTrafficPolicy"): "Cluster",
    ("service", "internalTrafficPolicy"): "Local",
    ("podDisruptionBudget", "unhealthyPodEvictionPolicy"): "IfHealthyBudget",
    ("podDisruptionBudget", "minAvailable"): 0,
    ("podDisruptionBudget", "maxUnavailable"): "25%",
    ("service", "nodePort"): 31000,
    ("web", "externalUrl"): "https://example.org/other",
    ("web", "routePrefix"): "/other",
    ("web", "telemetryPath"): "/other",
    ("persistence", "size"): "3Gi",
    ("persistence", "emptyDirSizeLimit"): "3Gi",
    ("persistence", "accessModes"): ["ReadWriteMany"],
    ("prometheusRule", "grafanaUrl"): "https://other.example.com",
    ("prometheusRule", "thresholds"): {"BrazeSendsStopped": {"factor": 0.1}},
    ("prometheusRule", "disabledAlerts"): ["BrazeSendsStopped"],
    ("prometheusRule", "extraGroups"): [{"name": "other", "rules": []}],
    ("demo", "resources"): OTHER_RESOURCES,
    ("resources",): OTHER_RESOURCES,
    ("helmTest", "resources"): OTHER_RESOURCES,
    ("persistence", "selector"): {"matchLabels": {"other": "other"}},
    ("extraEnv",): [{"name": "other", "value": "other"}],
    ("extraEnvFrom",): [{"configMapRef": {"name": "other"}}],
    ("extraVolumes",): [{"name": "other", "emptyDir": {}}],
    ("extraVolumeMounts",): [{"name": "other", "mountPath": "/other"}],
    ("extraContainers",): [{"name": "other", "image": "other"}],
    ("extraInitContainers",): [{"name": "other", "image": "other"}],
    ("lifecycle",): {"preStop": {"sleep": {"seconds": 1}}},
    ("affinity",): {"podAffinity": {}},
    ("tolerations",): [{"key": "other", "operator": "Exists"}],
    ("topologySpreadConstraints",): [
        {"maxSkew": 2, "topologyKey": "other", "whenUnsatisfiable": "DoNotSchedule"}
    ],
    ("hostAliases",): [{"ip": "192.0.2.2", "hostnames": ["other"]}],
    ("dnsConfig",): {"nameservers": ["192.0.2.54"]},
    ("httpRoute", "parentRefs"): [{"name": "other"}],
    ("httpRoute", "matches"): [{"method": "GET"}],
    ("httpRoute", "filters"): [{"type": "CORS", "cors": {}}],
    **{
        ("networkPolicy", *path): [{"podSelector": {"matchLabels": {"a": "other"}}}]
        for path in (
            *(("ingress", "from"), ("egress", "to"), ("egress", "dnsTo")),
            ("egress", "redisTo"),
        )
    },
    ("networkPolicy", "ingress", "extra"): [{"ports": [{"port": 1}]}],
    ("networkPolicy", "egress", "extra"): [{"ports": [{"port": 1}]}],
    **{
        (monitor, "tlsConfig"): {"serverName": "other"}
        for monitor in ("serviceMonitor", "podMonitor", "scrapeConfig")
    },
    **{
        (monitor, rules): [{"action": "labeldrop", "regex": "other"}]
        for monitor in ("serviceMonitor", "podMonitor", "scrapeConfig")
        for rules in ("relabelings", "metricRelabelings")
    },
    ("dashboards", "grafanaOperator", "instanceSelector"): {
        "matchLabels": {"other": "other"}
    },
    ("service", "ipFamilies"): ["IPv6"],
    ("networkPolicy", "egress", "ports"): [8443],
    ("networkPolicy", "egress", "redisPorts"): [6381],
    ("networkPolicy", "egress", "dnsPorts"): [5353],
    ("apiKeys",): [{"secretName": "other", "key": "other", "file": "other"}],
    ("ingress", "hosts"): [{"host": "other.example.com"}],
    ("ingress", "tls"): [{"secretName": "other", "hosts": ["a"]}],
    ("config",): FULL,
    ("webConfig",): {"basic_auth_users": {"other": HASH}},
    ("state", "path"): "/other",
    ("dashboards", "grafanaOperator", "resyncPeriod"): "9m",
    **{
        (monitor, duration): "17s"
        for monitor in ("serviceMonitor", "podMonitor", "scrapeConfig")
        for duration in ("interval", "scrapeTimeout")
    },
    **{
        (monitor, "basicAuth"): {
            "username": {"name": "a", "key": "b"},
            "password": {"name": "a", "key": "c"},
        }
        for monitor in ("serviceMonitor", "podMonitor", "scrapeConfig")
    },
}


def other(path: Path, value: object) -> object:
    """Return another value that is allowed there."""
    if path in CHOICES:
        return CHOICES[path]
    if isinstance(value, bool) or path == ("replicas",):
        return type(value)(not value)  # type: ignore[call-arg]  # a bool or a number
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return "other"
    return ["other"] if isinstance(value, list) else {"other": "other"}


@pytest.fixture(name="manifests", scope="module")
def _manifests(helm: Helm) -> Mapping[object, object]:
    """Render each file of ci/ once."""
    return {file: helm.render(values_of(file)).manifests for file in CI_FILES}


@pytest.mark.parametrize("path", LEAVES, ids=name)
def test_every_value_has_an_effect(
    helm: Helm, manifests: Mapping[object, object], path: Path
) -> None:
    """Another value makes other manifests, at least with one of the files of ci/."""
    if path == ("demo", "enabled"):
        return  # its effect is an error, which has a test of its own

    for file in sorted(CI_FILES, key=lambda file: len(str(manifests[file]))):
        values = values_of(file)
        now = get(merged(VALUES, values), path)
        changed = merged(values, at(path, other(path, now)))
        try:
            after = helm.render(changed)
        except Refused as refused:
            assert "schema" not in str(refused)  # noqa: PT017 - the wrong file for it
            continue
        if after.manifests != manifests[file]:
            return

    pytest.fail(f"{name(path)} changes nothing")


def test_versions_agree() -> None:
    """The chart is of this exporter: its image, and what Artifact Hub shows."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert chart["appVersion"] == __version__
    (image,) = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    default = VALUES["image"]
    repository = f"{default['registry']}/{default['repository']}"
    assert image["image"] == f"{repository}:{__version__}"
    changes = (CHART / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{chart['version']}]" in changes


def test_the_readme_has_current_tables() -> None:
    """The tables of values and thresholds are what the chart and the rules say."""
    readme = README.read_text(encoding="utf-8")

    assert readme == written(readme), "run `make chart-docs`"
