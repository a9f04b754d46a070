"""Loading of the configuration, and the part of it that this process has."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import NamedTuple

from exporter.config.load import load
from exporter.config.schema import ParsedConfig
from exporter.model.config import Config, Problem
from exporter.model.errors import ConfigError
from exporter.polling.sharding import Shard, divide_ceilings, replicas_of
from exporter.web.security import Security


class Placement(NamedTuple):
    """The flags of `PLACEMENT`."""

    shard: Shard | None
    replicas: int

    @classmethod
    def of(cls, options: argparse.Namespace) -> Placement:
        """Parse the flags. ValueError: names the flag."""
        shard = Shard.of_texts(options.shard, options.total_shards)
        return cls(shard, replicas_of(options.replicas))

    def with_ceilings(self, config: Config) -> Config:
        """Return the configuration with the ceilings of this process."""
        shards = self.shard.total if self.shard else 1
        return divide_ceilings(config, self.replicas * shards)

    def part(self, config: Config) -> Config:
        """Return the configuration with the ceilings and objects of this process."""
        config = self.with_ceilings(config)
        if self.shard is None:
            return config
        return config._replace(
            workspaces=tuple(map(self.shard.part, config.workspaces))
        )


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
