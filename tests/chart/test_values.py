"""Each value of the chart is checked, explained, and has an effect."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import reduce
from itertools import pairwise
from typing import Any

import pytest
import yaml
from exporter import __version__
from exporter.config.units import duration_seconds
from exporter.web import web_config

from tests.chart import schema_types
from tests.chart.chart_values import (
    CI_VALUES,
    SCHEMA,
    VALUES,
    config,
    merged,
    schema_errors,
)
from tests.chart.helm import CHART, Document, Helm, Refused, Rendered
from tests.chart.readme_tables import README, keys, sections, written
from tests.paths import ROOT
from tests.support.certificates import HASH
from tests.unit.config.invalid_files import invalid_files

SECRET = "7f3e9a52-0000-4d1b-8a6b-feedfacebeef"
Path = tuple[str, ...]


def mappings(value: object, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every mapping in values.yaml that has keys."""
    if isinstance(value, dict) and (value or not path):
        yield path
        for key, each in value.items():
            yield from mappings(each, (*path, key))


def leaves(value: object, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every other value."""
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


def get(values: Mapping[str, Any], path: Path) -> Any:
    """Return the value at a path."""
    return reduce(lambda inner, key: inner[key], path, values)


def dotted(path: Path) -> str:
    """Write a path as `--set` does."""
    return ".".join(path)


OPEN = {("global",)}
"""Shared with other charts, so that unknown keys are allowed."""
LEAVES = list(leaves(VALUES))


def accepted(values: Document, name: str) -> bool:
    """Whether the schema accepts values, or does not name the key that is wrong."""
    return not any(name in error for error in schema_errors(values))


def test_helm_checks_values_by_the_schema(helm: Helm) -> None:
    """Typos and wrong types are errors of Helm that name the key."""
    for values, name in (
        ({"service": {"prot": 80}}, "prot"),
        ({"service": {"port": "80"}}, "/service/port"),
        (at(("config", "workspaces"), [{"endpont": "x"}]), "endpont"),
        ({"extraEnv": [{"name": "A", "vaule": "b"}]}, "/extraEnv/0"),
    ):
        with pytest.raises(Refused, match=name):
            helm.render(values)


def test_a_typo_is_an_error() -> None:
    """An unknown key is an error at every level of the values."""
    strict = [path for path in mappings(VALUES) if path not in OPEN]
    wrong = [(*path, key) for path in strict for key in ("enabeld", "NameSpace", "x-y")]
    wrong += [(*path[:-1], f"{path[-1]}x") for path in LEAVES if path[:-1] not in OPEN]

    assert [dotted(path) for path in wrong if accepted(at(path, {}), path[-1])] == []


def test_a_value_of_another_type_is_an_error() -> None:
    """A mapping or list in the place of another type is an error."""
    wrong = [
        (path, [1] if isinstance(get(VALUES, path), dict) else {"a": [1]})
        for path in LEAVES
    ]

    assert [
        dotted(path) for path, value in wrong if accepted(at(path, value), path[-1])
    ] == []


def test_null_is_harmless_or_an_error(helm: Helm) -> None:
    """Null removes a value in Helm: it is an error, or leaves no null in a manifest."""
    for path in LEAVES:
        values = at(path, None)
        if not schema_errors(values):
            rendered = helm.render(values, has_schema=False)
            text = "".join(rendered.texts.values()).replace('"null"', "")
            assert "null" not in text, dotted(path)
            assert "<nil>" not in text, dotted(path)


OF_KUBERNETES = [
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
    ("networkPolicy.ingress.extra", [{"to": []}]),
    ("networkPolicy.egress.extra", [{"from": []}]),
]


def test_a_typo_in_a_field_of_kubernetes_is_an_error() -> None:
    """Fields of Kubernetes, its operators and its gateways are checked by name."""
    unseen = [
        (place, value)
        for place, value in OF_KUBERNETES
        if not any(
            error.startswith(f"$.{place}")
            for error in schema_errors(at(tuple(place.split(".")), value))
        )
    ]

    assert unseen == []


def test_every_field_of_kubernetes_can_be_set(helm: Helm) -> None:
    """Rare and new fields are allowed too, and null where Kubernetes allows it."""
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


def test_the_schema_leaves_no_mapping_open() -> None:
    """Wherever the schema lists keys, it refuses all others, except in `global`."""

    def objects(part: object, place: str = "") -> Iterator[tuple[str, Document]]:
        if isinstance(part, dict):
            if "properties" in part and part.get("type") == "object":
                yield place, part
            for key, each in part.items():
                yield from objects(each, f"{place}/{key}")

    is_open = [
        place
        for place, part in objects(SCHEMA)
        if part.get("additionalProperties") is not False
    ]

    assert is_open == []
    assert len(list(objects(SCHEMA))) > 30


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"endpont": "x"}, "endpont"),
        ({"api_key": SECRET}, "api_key"),
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
        ({"campaigns": [{"id": "a", "name": "b", "nmae": "x"}]}, "nmae"),
        ({"campaigns": []}, "campaigns"),
        ({"discover": {"tags": {"some": ["x"]}}}, "some"),
        ({"discover": {"labels": {"job": "tags"}}}, "job"),
        ({"campaigns": [{"id": "a", "name": "b", "labels": {"job": "x"}}]}, "job"),
        ({"campaigns": [{"id": "a", "name": "b", "labels": {"a-b": "x"}}]}, "a-b"),
        ({"campaigns": [{"id": "a", "name": "b", "labels": {"a": 1}}]}, "labels.a"),
    ],
)
def test_a_mistake_in_the_configuration_is_an_error(
    change: Document, name: str
) -> None:
    """The schema finds typos, wrong types and simple bounds before an upgrade."""
    assert not accepted(config(**change), name)


def test_the_schema_is_not_stricter_than_the_exporter() -> None:
    """It accepts each configuration that the exporter accepts with warnings."""
    durations = ("90s", "5m", "1h30m", "7d", "1w", "500ms", "1y", "52w3h")
    for text in durations:
        assert duration_seconds(text)
        assert (
            schema_errors({"config": {**config()["config"], "stale_after": text}}) == []
        )
    warned = [
        case
        for case in invalid_files()
        if all(": warning: " in line for line in case.problems)
    ]
    for case in warned:
        document = yaml.safe_load(case.text)
        assert schema_errors({"config": document}) == [], case.name
    assert warned


def test_the_example_configuration_can_be_used(helm: Helm) -> None:
    """config.example.yaml, with every option of it, is valid as `config`."""
    text = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    every = re.sub(r"(?m)^( *)#(?=[a-z_]+:)", r"\1", text)

    for example in (text, every):
        document = yaml.safe_load(example)
        for workspace in document["workspaces"]:
            if len({"api_key_env", "api_key_file"} & set(workspace)) == 2:
                del workspace["api_key_file"]
        assert yaml.safe_load(helm.render({"config": document}).config) == document


def test_a_key_in_the_wrong_place_is_in_no_message(helm: Helm) -> None:
    """The schema refuses it, as it would be in a ConfigMap, without repeating it."""
    for option, text in (
        ("api_key_env", SECRET),
        ("api_key_env", f"Bearer {SECRET}"),
        ("api_key_file", SECRET),
        ("api_key_file", f"Bearer {SECRET}"),
        ("api_key_file", f"/etc/{SECRET[3:]}"),
        ("api_key", SECRET),
    ):
        values = config(**{option: text})

        with pytest.raises(Refused, match=option) as refused:
            helm.render(values)

        assert SECRET[3:] not in str(refused.value), option


def test_a_directory_may_be_named_as_a_key(helm: Helm) -> None:
    """Kubernetes names directories by UUIDs."""
    assert helm.render(config(api_key_file=f"/keys/{SECRET}/braze")).documents


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
def test_a_mistake_in_the_web_configuration_is_an_error(
    web: Document, wrong: str
) -> None:
    """The schema finds typos, wrong types and unknown values before an upgrade."""
    assert not accepted({"webConfig": web}, wrong)


def test_the_schema_has_the_options_of_the_web_configuration() -> None:
    """A new option has to be added to values.schema.json."""
    known = SCHEMA["definitions"]
    web = known["webConfig"]["properties"]
    tls = web["tls_server_config"]["properties"]
    headers = web["http_server_config"]["properties"]["headers"]

    for definition, options in (
        (known["webConfig"], web_config.WEB_CONFIG),
        (web["tls_server_config"], web_config.TLS_SERVER),
        (web["http_server_config"], web_config.HTTP_SERVER),
        (web["rate_limit"], web_config.RATE_LIMIT),
        (headers, web_config.HEADERS),
    ):
        assert set(definition["properties"]) == set(options)
    assert set(tls["cipher_suites"]["items"]["enum"]) == set(web_config.CIPHERS)
    assert set(tls["curve_preferences"]["items"]["enum"]) == set(web_config.CURVES)


def test_a_parent_chart_may_switch_it_by_a_condition(helm: Helm) -> None:
    """`enabled`, for the condition of a dependency, and any `global` are valid."""
    assert helm.render({"enabled": True, "global": {"other": {"chart": 1}}}).documents


def test_every_value_is_explained() -> None:
    """Each key of values.yaml has a comment, and each mapping one right above it."""
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    explained = {tuple(each.name.split(".")) for each in keys() if each.text}

    bare = [
        line
        for above, line in pairwise(lines)
        if re.match(r" *\w+:", line) and not above.lstrip().startswith("#")
    ]
    # `requests:` and `limits:` of Kubernetes need no words.
    assert {line.strip() for line in bare} <= {"requests:", "limits:"}
    assert [dotted(path) for path in LEAVES if path not in explained] == []


def test_the_readme_has_current_tables() -> None:
    """Its tables have each value once, and the thresholds of the rules."""
    readme = README.read_text(encoding="utf-8")
    names = [each.name for section in sections() for each in section.keys]

    assert sorted(names) == sorted(map(dotted, LEAVES))
    assert readme == written(readme), "run `make chart-docs`"


def test_every_switch_is_tried() -> None:
    """The files of ci/ have every boolean both ways, the default included."""
    tried: dict[Path, set[bool]] = {}
    for values in CI_VALUES.values():
        whole = merged(VALUES, values)
        for path in LEAVES:
            value = get(whole, path)
            if isinstance(value, bool):
                tried.setdefault(path, set()).add(value)

    untried = [dotted(path) for path, found in tried.items() if len(found) < 2]
    assert untried == [
        # Pod Security's level "restricted" allows these one way only.
        "podSecurityContext.runAsNonRoot",
        "securityContext.allowPrivilegeEscalation",
        "securityContext.readOnlyRootFilesystem",
    ]


MONITORS = ("serviceMonitor", "podMonitor", "scrapeConfig")
OTHER_RESOURCES = {"limits": {"memory": "1Gi"}}
OTHERS: Mapping[Path, object] = {
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
    ("configCheck", "resources", "requests", "cpu"): "1",
    ("configCheck", "resources", "requests", "memory"): "1Gi",
    ("configCheck", "resources", "limits", "memory"): "1Gi",
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
        for path in (("ingress", "from"), ("egress", "to"), ("egress", "dnsTo"))
    },
    ("networkPolicy", "ingress", "extra"): [{"ports": [{"port": 1}]}],
    ("networkPolicy", "egress", "extra"): [{"ports": [{"port": 1}]}],
    **{(each, "tlsConfig"): {"serverName": "other"} for each in MONITORS},
    **{
        (each, rules): [{"action": "labeldrop", "regex": "other"}]
        for each in MONITORS
        for rules in ("relabelings", "metricRelabelings")
    },
    ("dashboards", "grafanaOperator", "instanceSelector"): {
        "matchLabels": {"other": "other"}
    },
    ("service", "ipFamilies"): ["IPv6"],
    ("networkPolicy", "egress", "ports"): [8443],
    ("networkPolicy", "egress", "dnsPorts"): [5353],
    ("apiKeys",): [{"secretName": "other", "key": "other", "file": "other"}],
    ("ingress", "hosts"): [{"host": "other.example.com"}],
    ("ingress", "tls"): [{"secretName": "other", "hosts": ["a"]}],
    ("config",): config(name="other")["config"],
    ("webConfig",): {"basic_auth_users": {"other": HASH}},
    ("state", "path"): "/other",
    ("dashboards", "grafanaOperator", "resyncPeriod"): "9m",
    **{
        (each, duration): "17s"
        for each in MONITORS
        for duration in ("interval", "scrapeTimeout")
    },
    **{
        (each, "basicAuth"): {
            "username": {"name": "a", "key": "b"},
            "password": {"name": "a", "key": "c"},
        }
        for each in MONITORS
    },
}
"""Valid values that differ from those of ci/, where not any text or number is valid."""


def other(path: Path, value: object) -> object:
    """Return another value that is valid there."""
    if path in OTHERS:
        return OTHERS[path]
    if isinstance(value, bool) or path == ("replicas",):
        return type(value)(not value)  # type: ignore[call-arg]  # a bool or a number
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return "other"
    return ["other"] if isinstance(value, list) else {"other": "other"}


def test_every_value_has_an_effect(
    helm: Helm, rendered: Mapping[str, Rendered]
) -> None:
    """Another value renders other manifests, at least with one of the files of ci/."""
    # The effect of `demo.enabled` is an error, see test_refusals.py.
    paths = [path for path in LEAVES if path != ("demo", "enabled")]
    sizes = {name: len(str(one.texts)) for name, one in rendered.items()}

    def has_effect(path: Path, file: str) -> bool:
        values = CI_VALUES[file]
        now = get(merged(VALUES, values), path)
        changed = merged(values, at(path, other(path, deepcopy(now))))
        try:
            after = helm.render(changed, has_schema=False)
        except Refused:
            return False
        return after.manifests != rendered[file].manifests and not schema_errors(
            changed
        )

    without = [
        dotted(path)
        for path in paths
        if not any(
            has_effect(path, file)
            # First the files that set the value or one beside it, then the small ones.
            for file in sorted(
                sizes, key=lambda name: (path[0] not in CI_VALUES[name], sizes[name])
            )
        )
    ]
    assert without == []


def test_versions_agree() -> None:
    """The chart's version of the exporter is that of the image and of this package."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert chart["appVersion"] == __version__
    (image,) = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    default = VALUES["image"]
    repository = f"{default['registry']}/{default['repository']}"
    assert image["image"] == f"{repository}:{__version__}"
    changes = (CHART / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{chart['version']}]" in changes
