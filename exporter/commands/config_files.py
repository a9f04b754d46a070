"""Loading of the configuration together with the web configuration."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.config.load import load
from exporter.config.schema import ParsedConfig
from exporter.model.config import Problem
from exporter.model.errors import ConfigError
from exporter.web.security import Security


def load_protected(
    file: str,
    environment: Mapping[str, str],
    security: Security,
    *,
    keys_required: bool = True,
    is_reloaded: bool = False,
) -> ParsedConfig:
    """Load both files, or raise `ConfigError` with the problems of both."""
    problems: list[Problem] = []
    parsed: ParsedConfig | None = None
    warnings: tuple[Problem, ...] = ()
    try:
        parsed = load(
            file, environment, keys_required=keys_required, is_reloaded=is_reloaded
        )
    except ConfigError as error:
        problems += error.problems
    try:
        warnings = security.load()
    except ConfigError as error:
        problems += error.problems
    if parsed is None or problems:
        raise ConfigError(tuple(problems))
    return parsed._replace(warnings=(*parsed.warnings, *warnings))
