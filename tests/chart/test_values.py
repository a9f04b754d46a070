"""Each value of the chart is checked, explained, and has an effect."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import reduce
from itertools import pairwise
from typing import Any

import pytest
import yaml
from exporter import __version__
from exporter.config.schema import parse
from exporter.config.units import duration_seconds
from exporter.model.errors import ConfigError
from exporter.web import web_config

from tests.chart import schema_types
from tests.chart.chart_values import (
    CI_VALUES,
    SCHEMA,
    VALUES,
    config,
    merged,
    schema_errors,
    values_of,
)
from tests.chart.helm import CHART, Document, Helm, Refused, Rendered
from tests.chart.readme_tables import README, keys, written
from tests.paths import ROOT
from tests.support.certificates import HASH
from tests.unit.config.invalid_files import invalid_files

SECRET = "7f3e9a52-0000-4d1b-8a6b-feedfacebeef"
OTHERS = values_of(ROOT / "tests" / "chart" / "other-values.yaml")
Path = tuple[str, ...]


def parts(value: object, path: Path = ()) -> Iterator[tuple[Path, bool]]:
    """Yield the path of every value, and whether it is a mapping with keys."""
    has_keys = isinstance(value, dict) and bool(value)
    yield path, has_keys
    if isinstance(value, dict):
        for key, each in value.items():
            yield from parts(each, (*path, key))


LEAVES = [path for path, has_keys in parts(VALUES) if not has_keys]
MAPPINGS = [path for path, has_keys in parts(VALUES) if has_keys]


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


def accepted(values: Document, name: str) -> bool:
    """Whether the schema accepts values, or does not name the key that is wrong."""
    return not any(name in error for error in schema_errors(values))


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"service": {"prot": 80}}, "prot"),
        ({"service": {"port": "80"}}, "/service/port"),
        ({"config": {"workspaces": [{"endpont": "x"}]}}, "endpont"),
        ({"extraEnv": [{"name": "A", "vaule": "b"}]}, "/extraEnv/0"),
    ],
)
def test_helm_checks_values_by_the_schema(
    helm: Helm, values: Document, name: str
) -> None:
    """Typos and wrong types are errors of Helm that name the key."""
    with pytest.raises(Refused, match=name):
        helm.render(values)


def test_a_typo_is_an_error() -> None:
    """An unknown key is an error at every level of the values but in `global`."""
    wrong = [(*path, key) for path in MAPPINGS for key in ("enabeld", "x-y")]
    wrong += [(*path[:-1], f"{path[-1]}x") for path in LEAVES]

    assert {path[:-1] for path in wrong if accepted(at(path, {}), path[-1])} == {
        ("global",)
    }


def test_a_value_of_another_type_is_an_error() -> None:
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


def test_an_unknown_field_of_kubernetes_is_an_error() -> None:
    """Only labels, annotations and texts by name are open, and templates."""
    is_open = r"\w*([lL]abels|[aA]nnotations)|nodeSelector|thresholds|extraManifests"
    for path in LEAVES:
        unknown: Document = {"nosuchfield": "x"}
        default = get(VALUES, path)
        if isinstance(default, dict | list) and not re.fullmatch(is_open, path[-1]):
            value = unknown if isinstance(default, dict) else [unknown]
            assert schema_errors(at(path, value)), dotted(path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("podSecurityContext", {"runAsUser": "65532"}),
        ("extraEnv", [{"name": "A", "value": 1}]),
        ("extraEnv", [None]),
        ("extraVolumes", [{"name": "a", "secret": {"name": "b"}}]),
        ("lifecycle", {"preStop": {"exec": {"cmd": ["a"]}}}),
        ("topologySpreadConstraints", [{"maxSkew": 1, "topologyKey": "zone"}]),
        ("podMonitor.tlsConfig", {"ca": {"secret": {"name": "a"}}}),
        ("podMonitor.tlsConfig", {"caFile": "/a"}),
        ("scrapeConfig.tlsConfig", {"key": {"name": "a", "key": "b"}}),
        ("podMonitor.metricRelabelings", [{"action": "dorp"}]),
        ("prometheusRule.extraGroups", [{"name": "a", "rules": [{"expr": "b"}]}]),
        ("networkPolicy.ingress.extra", [{"to": []}]),
        ("networkPolicy.egress.extra", [{"from": []}]),
    ],
)
def test_an_invalid_field_of_kubernetes_is_an_error(place: str, value: object) -> None:
    errors = schema_errors(at(tuple(place.split(".")), value))

    assert any(error.startswith(f"$.{place}") for error in errors)


def test_every_field_of_kubernetes_can_be_set(helm: Helm) -> None:
    """Rare and new fields are allowed too, and null where Kubernetes allows it."""
    source = {"fieldRef": {"fieldPath": "status.podIP"}}
    sidecar = {"name": "a", "image": "b", "restartPolicy": "Always"}
    values: Document = {
        "resources": {"limits": {"memory": None, "example.com/gpu": 1}},
        "podSecurityContext": {"runAsUser": None, "supplementalGroupsPolicy": "Strict"},
        "extraEnv": [{"name": "A", "valueFrom": source}],
        "extraVolumes": [
            {"name": "a", "csi": {"driver": "example.com", "readOnly": True}},
            {"name": "b", "image": {"reference": "example.com/a:1"}},
            {"name": "c", "emptyDir": {}},
        ],
        "extraInitContainers": [sidecar | {"env": [{"name": "A"}]}],
        "affinity": {"podAntiAffinity": None},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    }

    assert helm.render(values).pod["volumes"][-3:] == values["extraVolumes"]


def test_the_schema_has_kubernetes_current_types() -> None:
    text = schema_types.SCHEMA.read_text(encoding="utf-8")

    assert text == schema_types.written(text), "run `make chart-docs`"


def test_the_schema_leaves_no_mapping_open() -> None:
    def objects(part: object, place: str = "") -> Iterator[tuple[str, Document]]:
        if isinstance(part, dict):
            if "properties" in part and part.get("type") == "object":
                yield place, part
            for key, each in part.items():
                yield from objects(each, f"{place}/{key}")

    found = dict(objects(SCHEMA))
    assert len(found) > 30
    assert [
        place
        for place, part in found.items()
        if part.get("additionalProperties") is not False
    ] == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"endpont": "x"}, "endpont"),
        ({"api_key": SECRET}, "api_key"),
        ({"interval": "5 m"}, "interval"),
        ({"interval": 300}, "interval"),
        ({"timeout": ""}, "timeout"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"requests_per_minute": "1/2"}, "requests_per_minute"),
        ({"requests_per_minute": "0,5"}, "requests_per_minute"),
        ({"discover": {"requests_per_minute": "many"}}, "requests_per_minute"),
        ({"concurrency": 65}, "concurrency"),
        ({"endpoint": "rest.iad-01.braze.com"}, "endpoint"),
        ({"name": ""}, "name"),
        ({"campaigns": [{"id": "a", "name": "x" * 257}]}, "name"),
        ({"campaigns": [{"id": "a"}]}, "name"),
        ({"campaigns": [{"id": "a", "name": "b", "nmae": "x"}]}, "nmae"),
        ({"campaigns": []}, "campaigns"),
        ({"discover": {"tags": {"some": ["x"]}}}, "some"),
        ({"discover": {"labels": {"job": "tags"}}}, "job"),
        ({"discover": {"canvases": {"sent_within": "1d"}}}, "sent_within"),
        ({"discover": {"canvases": {"labels": {"canvas": "tags"}}}}, "canvas"),
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
    warned = [
        yaml.safe_load(case.text)
        for case in invalid_files()
        if all(": warning: " in line for line in case.problems)
    ]
    assert warned
    for text in ("90s", "5m", "1h30m", "7d", "1w", "500ms", "1y", "52w3h"):
        assert duration_seconds(text)
        warned.append({**config()["config"], "stale_after": text})

    for document in warned:
        assert schema_errors({"config": document}) == [], document


OWN = [{"id": "5f0c2b1e-8a37-4d0b-9d8e-2f5f5d1c7a10", "name": "Onboarding"}]


@pytest.mark.parametrize(
    "changes",
    [
        {"canvases": OWN},
        {"canvases": []},
        {"canvases": None},
        {"canvases": [{**OWN[0], "steps": True, "interval": "5m"}]},
        {"canvases": [{**OWN[0], "steps": "true"}]},
        {"canvases": [{**OWN[0], "labels": {"campaign": "x"}}]},
        {"canvases": [{**OWN[0], "labels": {"canvas": "x"}}]},
        {"campaigns": [{**OWN[0], "steps": True}]},
        {"campaigns": None, "canvases": OWN},
        {"campaigns": ..., "canvases": []},
        {"campaigns": [], "canvases": None},
        {"campaigns": [], "canvases": [], "discover": {}},
        {"campaigns": None},
        {"campaigns": ..., "discover": None},
        {"campaigns": [], "discover": {}},
        {"campaigns": ..., "discover": {"canvases": {}}},
        {"canvases": OWN, "canvas_interval": "15m", "canvas_steps": True},
        {"canvases": OWN, "canvas_steps": "true"},
        {"canvases": OWN, "shared_requests_per_minute": 4000},
        {"canvases": OWN, "shared_requests_per_minute": 4001},
        {"canvases": OWN, "shared_requests_per_minute": 0.05},
        {"discover": {"campaigns": {"max": 5}, "canvases": {"max": 5}}},
        {"discover": {"canvases": {"max": 0}}},
        {"discover": {"canvases": {"include_stopped": True}, "grace": "0s"}},
        {"discover": {"campaigns": {"include_stopped": True}}},
        {"discover": {"campaigns": {"entered_within": "1d"}}},
        {"discover": {"campaigns": {"list_interval": "1h"}}},
        {"discover": {"campaigns": None}},
        {"discover": {"include_stopped": True}},
        {"discover": {"max": 5}},
        {"discover": {"max_campaigns": 5, "tags": {"any": ["a"]}}},
        {"discover": {"max_campaigns": 5, "campaigns": {}}},
        {"discover": {"max_campaigns": 5, "canvases": {}}},
        {"discover": {"max_campaigns": 5, "campaigns": {"max": 5}}},
        {"discover": {"sent_within": "2d", "campaigns": {"sent_within": "1d"}}},
        {"discover": {"requests_per_minute": 5}},
        {"discover": {"requests_per_minute": 1001}},
    ],
    ids=str,
)
def test_the_schema_accepts_what_the_exporter_accepts(changes: Document) -> None:
    """So do options under previous names, unless they are set under both."""
    values = config(**changes)
    text = yaml.safe_dump(values["config"])
    try:
        parse(text, file="f", read_key=lambda _: "a-key-of-8", is_file=lambda _: True)
    except ConfigError:
        assert schema_errors(values)
    else:
        assert schema_errors(values) == []


def test_the_example_configuration_can_be_used(helm: Helm) -> None:
    """config.example.yaml, with every option of it, is valid as `config`."""
    text = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    every = re.sub(r"(?m)^( *)#(?=(?:- )?[a-z_]+:)", r"\1", text)

    for example in (text, every):
        document = yaml.safe_load(example)
        for workspace in document["workspaces"]:
            if len({"api_key_env", "api_key_file"} & set(workspace)) == 2:
                del workspace["api_key_file"]
        assert yaml.safe_load(helm.render({"config": document}).config) == document


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("api_key_env", SECRET),
        ("api_key_env", f"Bearer {SECRET}"),
        ("api_key_file", SECRET),
        ("api_key_file", f"Bearer {SECRET}"),
        ("api_key_file", f"/etc/{SECRET[3:]}"),
        ("api_key", SECRET),
    ],
)
def test_a_key_in_the_wrong_place_is_in_no_message(
    helm: Helm, option: str, text: str
) -> None:
    """The schema refuses it, as it would be in a ConfigMap, without repeating it."""
    with pytest.raises(Refused, match=option) as refused:
        helm.render(config(**{option: text}))

    assert SECRET[3:] not in str(refused.value)


def test_a_directory_may_be_named_as_a_key(helm: Helm) -> None:
    """Kubernetes names directories by UUIDs."""
    assert helm.render(config(api_key_file=f"/keys/{SECRET}/braze")).documents


CURVES = ["X25519", "CurveP256"]


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
        ({"tls_server_config": {"curve_preferences": CURVES}}, "curve_preferences"),
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
    definition = SCHEMA["definitions"]["webConfig"]
    web = definition["properties"]
    tls = web["tls_server_config"]["properties"]

    for part, options in (
        (definition, web_config.WEB_CONFIG),
        (web["tls_server_config"], web_config.TLS_SERVER),
        (web["http_server_config"], web_config.HTTP_SERVER),
        (web["rate_limit"], web_config.RATE_LIMIT),
        (web["http_server_config"]["properties"]["headers"], web_config.HEADERS),
    ):
        assert set(part["properties"]) == set(options)
    assert set(tls["cipher_suites"]["items"]["enum"]) == set(web_config.CIPHERS)
    assert set(tls["curve_preferences"]["items"]["enum"]) == set(web_config.CURVES)


def test_a_parent_chart_may_switch_it_by_a_condition(helm: Helm) -> None:
    """`enabled`, for the condition of a dependency, and any `global` are valid."""
    assert helm.render({"enabled": True, "global": {"other": {"chart": 1}}}).documents


def test_every_value_is_explained() -> None:
    """Each key of values.yaml has a comment, and each mapping one right above it."""
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    explained = {each.name for each in keys() if each.text}

    bare = {
        line.strip()
        for above, line in pairwise(lines)
        if re.match(r" *\w+:", line) and not above.lstrip().startswith("#")
    }
    # `requests:` and `limits:` of Kubernetes need no words.
    assert bare <= {"requests:", "limits:"}
    assert set(map(dotted, LEAVES)) <= explained


def test_the_readme_has_current_tables() -> None:
    """Its tables have each value once, and the thresholds of the rules."""
    readme = README.read_text(encoding="utf-8")
    names = [each.name for each in keys()]

    assert sorted(names) == sorted(map(dotted, LEAVES))
    assert readme == written(readme), "run `make chart-docs`"


def test_every_switch_is_tried() -> None:
    tried = [merged(VALUES, values) for values in CI_VALUES.values()]

    untried = [
        dotted(path)
        for path in LEAVES
        if isinstance(get(VALUES, path), bool)
        and len({get(values, path) for values in tried}) < 2
    ]
    assert untried == [
        # Pod Security's level "restricted" allows these one way only.
        "podSecurityContext.runAsNonRoot",
        "securityContext.allowPrivilegeEscalation",
        "securityContext.readOnlyRootFilesystem",
    ]


def other(path: Path, value: object) -> object:
    """Return another value that is valid there."""
    try:
        return get(OTHERS, path)
    except KeyError:
        pass
    if isinstance(value, bool) or path == ("replicas",):
        return type(value)(not value)  # type: ignore[call-arg]  # a bool or a number
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return "other"
    return ["other"] if isinstance(value, list) else {"other": "other"}


# The effect of `demo.enabled` is an error, see combinations.yaml.
@pytest.mark.parametrize("path", sorted({*LEAVES} - {("demo", "enabled")}), ids=dotted)
def test_every_value_has_an_effect(
    helm: Helm, rendered: Mapping[str, Rendered], path: Path
) -> None:
    """Another value renders other manifests, at least with one of the files of ci/."""

    def has_effect(file: str) -> bool:
        values = CI_VALUES[file]
        changed = merged(
            values, at(path, other(path, get(merged(VALUES, values), path)))
        )
        try:
            after = helm.render(changed, has_schema=False)
        except Refused:
            return False
        templates = set(after.texts.items()) ^ set(rendered[file].texts.items())
        has_changed = any(path != "NOTES.txt" for path, _ in templates)
        return has_changed and not schema_errors(changed)

    # First the files that set the value or one beside it, then the small ones.
    files = sorted(
        CI_VALUES,
        key=lambda name: (
            path[0] not in CI_VALUES[name],
            len(str(rendered[name].texts)),
        ),
    )
    assert any(map(has_effect, files))


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
