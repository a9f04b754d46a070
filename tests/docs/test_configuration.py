"""The options in docs/configuration.md, config.example.yaml and the chart's schema."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from exporter.config.contract_section import CHANNELS
from exporter.config.option import Option, OptionKind
from exporter.config.options import CONFIG, Section, walk
from exporter.config.units import BYTES

from tests.docs.configuration_page import PAGE, TITLES, page, titles
from tests.paths import ROOT
from tests.unit.config.test_schema import read

EXAMPLE = (ROOT / "config.example.yaml").read_text("utf-8")
CHART_SCHEMA = json.loads(
    (ROOT / "helm/braze-exporter/values.schema.json").read_text("utf-8")
)
OPTIONS = dict(walk())


def uncommented(text: str) -> str:
    """Return the example with every option set, but only one source of the key."""
    return re.sub(r"(?m)^( *)#(?=(?:- )?[a-z_]+:)(?!api_key_file:)", r"\1", text)


def chart_schema(path: str) -> dict[str, Any]:
    """Return the part of the chart's schema that describes an option."""

    def resolved(part: dict[str, Any]) -> dict[str, Any]:
        target = part.get("$ref", "").rpartition("/")[2]
        found: dict[str, Any] = CHART_SCHEMA["definitions"][target] if target else part
        return found

    part: dict[str, Any] = CHART_SCHEMA["definitions"]["config"]
    for name in path.split(".") if path else ():
        part = resolved(part["properties"][name.removesuffix("[]")])
        part = resolved(part["items"]) if name.endswith("[]") else part
    return part


def test_the_page_is_current() -> None:
    """If this fails, run `make config-docs`."""
    text = PAGE.read_text("utf-8")

    assert titles(text) == TITLES
    assert page(text) == text


def examples(section: Section) -> dict[str, Any]:
    """Return a section in which every option has its documented example."""
    return {
        name: [examples(option.section)]
        if option.kind is OptionKind.SECTIONS
        else examples(option.section)
        if option.section
        else yaml.safe_load(option.example or option.default or "")
        for name, option in section.items()
        if name != "api_key_file" and not option.moved_to
    }


def test_every_documented_example_is_valid() -> None:
    """All of them together have no warning, but that selections exclude a contract.

    Every help text is a sentence.
    """
    warnings = read(yaml.safe_dump(examples(CONFIG))).warnings
    assert [one for one in warnings if ".contract" not in one.path] == []
    assert all(re.fullmatch(r"[A-Z].*\.", one.help) for one in OPTIONS.values())


def test_every_option_of_the_example_is_valid() -> None:
    """The `#` before each option may be removed."""
    assert read(EXAMPLE).warnings == ()
    parsed = read(uncommented(EXAMPLE))

    (workspace,) = parsed.config.workspaces
    assert parsed.warnings == ()
    assert workspace.proxy == "http://proxy:3128"
    assert workspace.ca_file == "/etc/ssl/company.pem"
    assert dict(workspace.campaigns[0].labels) == {"team": "crm"}


@pytest.mark.parametrize("path", OPTIONS)
def test_the_example_contains_every_option_with_its_default(path: str) -> None:
    """Sections and labels are set to an example instead."""
    text = EXAMPLE.replace("#api_key_file:", "api_key_file:")
    value = yaml.safe_load(uncommented(text))
    for name in path.split("."):
        value = value[name.removesuffix("[]")]
        value = value[0] if name.endswith("[]") else value

    option = OPTIONS[path]
    if option.default not in (None, "{}"):
        assert value == yaml.safe_load(option.default or "")


def test_the_defaults_of_the_example_are_the_defaults() -> None:
    samples = re.compile(
        r"(?m)^ *#(?:canvases|discover|series):\n(?: {6,}#.*\n)*"
        r"|^ *#(?:proxy|ca_file|labels|contract):.*\n"
    )

    assert read(uncommented(samples.sub("", EXAMPLE))) == read(EXAMPLE)


@pytest.mark.parametrize("path", ["", *OPTIONS])
def test_the_chart_has_the_same_options(path: str) -> None:
    """Names, types and bounds in values.schema.json are those of the exporter.

    Previous names are valid, too: the exporter accepts them with a warning. A number
    with a fraction may be a text, because Helm's --set passes one.
    """
    option = OPTIONS.get(path, Option(kind=OptionKind.SECTION, section={}))
    names = {name for name in OPTIONS if name.rpartition(".")[0] in (path, f"{path}[]")}
    schema = chart_schema(path)

    match option.kind:
        case OptionKind.SECTION | OptionKind.SECTIONS:
            section = chart_schema(f"{path}[]") if "array" in schema["type"] else schema
            known = {name.rpartition(".")[2] for name in names}
            previous = {OPTIONS[name].renamed_from for name in names} - {""}
            moved = {name for name, one in option.section.items() if one.moved_to}
            assert set(section["properties"]) == known | previous | moved
            assert section["additionalProperties"] is False
        case OptionKind.BOOLEAN:
            assert schema == {"type": "boolean"}
        case OptionKind.INTEGER | OptionKind.INTEGERS:
            number = schema.get("additionalProperties", schema)
            assert number["type"] == "integer"
            assert (number["minimum"], number["maximum"]) == (option.least, option.most)
        case OptionKind.NUMBER:
            number, text = schema["anyOf"]
            assert number["type"] == "number"
            assert (number["minimum"], number["maximum"]) == (option.least, option.most)
            assert text == {"$ref": "#/definitions/decimal"}
        case OptionKind.SIZE:
            (number,) = [one for one in schema["anyOf"] if one["type"] == "integer"]
            (text,) = [one for one in schema["anyOf"] if one["type"] == "string"]
            assert (number["minimum"], number["maximum"]) == (option.least, option.most)
            assert all(re.match(text["pattern"], f"1{unit}") for unit in BYTES)
        case OptionKind.DURATION | OptionKind.PERCENTAGE:
            assert re.match(schema["pattern"], option.default or option.example)
        case OptionKind.WINDOWS:
            assert schema["items"]["$ref"] == "#/definitions/duration"
        case OptionKind.LIST:
            assert schema == {"type": "array", "items": {"type": "string"}}
        case OptionKind.LABELS:
            assert schema["type"] == "object"
        case _:
            assert schema["type"] == "string"
            assert re.search(schema.get("pattern", ""), option.example)


def test_the_chart_knows_the_channels_of_a_contract() -> None:
    names = chart_schema("workspaces[].contract")["propertyNames"]

    assert names == {"enum": [*CHANNELS]}
