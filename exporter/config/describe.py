"""The configuration in force as YAML: complete, or only what differs from the defaults.

Safe to publish: of a key only its source is written, and a proxy's password is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from exporter.braze import hosts
from exporter.config import schema, units, yaml_tree
from exporter.config.option import Option, OptionKind
from exporter.config.options import CONFIG, WORKSPACE, Section
from exporter.model.config import Config, WorkspaceConfig

_PLACE = {
    *("name", "endpoint", "api_key_env", "api_key_file"),
    *("campaigns", "canvases", "discover"),
}
"""The options of a workspace that `discover` prints itself, or replaces."""


def describe(config: Config) -> str:
    """Return the configuration as YAML with all defaults and with resolved paths."""
    return yaml_tree.dump(_values(config, CONFIG))


def changes(
    config: Config, workspace: WorkspaceConfig
) -> tuple[dict[str, object], dict[str, object]]:
    """Return the options that differ from the defaults: global, and of the workspace.

    A workspace's name, endpoint, key, objects and discovery are left out.
    """
    default = _default()
    general = _difference(_values(config, CONFIG), _values(default, CONFIG))
    own = _difference(
        _values(workspace, WORKSPACE), _values(default.workspaces[0], WORKSPACE)
    )
    return (
        {name: value for name, value in general.items() if name != "workspaces"},
        {name: value for name, value in own.items() if name not in _PLACE},
    )


def _default() -> Config:
    """Return a configuration that sets only what has no default."""
    return schema.parse(
        "workspaces: [{name: x, endpoint: http://localhost, api_key_env: X,"
        " discover: {}}]",
        file="",
        read_key=lambda _: "x",
        is_file=lambda _: False,
    ).config


def _difference(
    values: Mapping[str, object], defaults: Mapping[str, object]
) -> dict[str, object]:
    return {
        name: value
        for name, value in values.items()
        if name not in defaults or defaults[name] != value
    }


def _values(parsed: object, section: Section) -> dict[str, object]:
    """Return the options of a parsed section that have a value, in YAML's types."""
    return {
        name: _written(value, option)
        for name, option in section.items()
        if not option.moved_to
        and (value := attrgetter(_attribute(name, option))(parsed)) is not None
    }


def _attribute(name: str, option: Option) -> str:
    attribute = option.attribute or option.renamed_from or name
    return f"{attribute}_seconds" if option.kind is OptionKind.DURATION else attribute


def _written(value: Any, option: Option) -> object:
    if option.kind is OptionKind.SECTIONS:
        return [_values(each, option.section) for each in value]
    if option.kind is OptionKind.SECTION:
        return _values(value, option.section)
    write = _WRITERS.get(option.kind)
    return write(value) if write else value


_WRITERS: Mapping[OptionKind, Callable[[Any], object]] = {
    OptionKind.DURATION: units.duration_text,
    OptionKind.INTEGERS: dict,
    OptionKind.LABELS: dict,
    OptionKind.LIST: list,
    OptionKind.NUMBER: lambda rate: int(rate) if float(rate).is_integer() else rate,
    OptionKind.PERCENTAGE: units.percentage_text,
    OptionKind.SIZE: units.size_text,
    OptionKind.URL: hosts.masked_url,
    OptionKind.WINDOWS: lambda windows: [f"{days}d" for days in windows],
}
