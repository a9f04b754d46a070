"""The workspaces of a command that sends requests to Braze: from a file or from flags.

Either a configuration contains them, or flags give the endpoint and the source of the
key of one. Both are validated by the same rules. No flag takes a key.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple

from exporter.braze.client import Client
from exporter.braze.proxies import ProxySettings
from exporter.commands.flags import CONFIG_FILE, Flag, Parser
from exporter.config import schema
from exporter.config.load import load
from exporter.model.config import Config, KeySource, Problem, WorkspaceConfig
from exporter.model.errors import ConfigError
from exporter.system.api_key import ApiKey, read_key
from exporter.system.clock import Clock

_ENDPOINT = Flag(
    "endpoint",
    "REST endpoint of a Braze workspace, such as https://rest.iad-01.braze.com; "
    "replaces --config.file.",
    "URL",
)
_KEY_ENV = Flag(
    "api-key-env", "Environment variable with the API key for --endpoint.", "NAME"
)
_KEY_FILE = Flag("api-key-file", "File with the API key for --endpoint.", "FILE")
WORKSPACE = Flag(
    "workspace",
    "Name of a workspace in the configuration; required if it contains several. With "
    "--endpoint: the name to print.",
    "NAME",
)
TARGET_FLAGS = (CONFIG_FILE, _ENDPOINT, _KEY_ENV, _KEY_FILE)

_PLACES = {
    f"workspaces[0].{name}": f"--{name.replace('_', '-')}"
    for name in ("endpoint", "api_key_env", "api_key_file")
} | {"workspaces[0].name": "--workspace"}
_NO_KEY = "no API key: give --api-key-env or --api-key-file"


class Target(NamedTuple):
    """The workspaces to send requests to."""

    config: Config
    warnings: tuple[Problem, ...]
    is_direct: bool
    """Whether it comes from flags and not from a configuration."""


class TargetParser(Parser):
    """A parser of `TARGET_FLAGS` and others."""

    def describe_unknown(self, unknown: Sequence[str]) -> str:
        """Return a message about unknown arguments, without a value."""
        message = super().describe_unknown(unknown)
        if all(word.startswith("-") for word in unknown):
            return message
        return f"{message}; a configuration is given by --config.file FILE"

    def target(
        self,
        options: argparse.Namespace,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        validates_keys: bool,
    ) -> Target:
        """Return what the configuration or the flags describe.

        `validates_keys` False: keys are not read. ConfigError: it is invalid.
        """
        given = {word.partition("=")[0] for word in arguments}
        has_endpoint = f"--{_ENDPOINT.name}" in given
        if has_endpoint and f"--{CONFIG_FILE.name}" in given:
            self.error("expected --config.file or --endpoint, not both")
        is_direct = options.endpoint and (has_endpoint or not options.config_file)
        if not (is_direct or options.config_file):
            self.error(
                f"no workspace: give --config.file FILE or set {CONFIG_FILE.variable}, "
                "or give --endpoint with --api-key-env or --api-key-file"
            )

        def read(source: KeySource) -> str | None:
            return read_key(source, environment) if validates_keys else "unread"

        if is_direct:
            parsed = _direct(options, read)
        else:
            file = options.config_file
            parsed = load(file, environment, keys_required=False, read=read)
        return Target(parsed.config, parsed.warnings, bool(is_direct))


@contextmanager
def client(
    workspace: WorkspaceConfig,
    environment: Mapping[str, str],
    *,
    response_bytes: int,
    clock: Clock,
) -> Iterator[Client]:
    """Yield a client with the daemon's settings, and close it."""
    made = Client(
        workspace,
        read_key=ApiKey(workspace.key_source, lambda one: read_key(one, environment)),
        proxies=ProxySettings.from_environment(environment),
        response_bytes=response_bytes,
        now=clock.now,
    )
    with closing(made):
        yield made


def _direct(
    options: argparse.Namespace, read: Callable[[KeySource], str | None]
) -> schema.ParsedConfig:
    given = {
        name: getattr(options, name)
        for name in ("endpoint", "api_key_env", "api_key_file")
        if getattr(options, name) is not None
    }
    name = getattr(options, WORKSPACE.key, None) or "production"
    try:
        parsed = parse_workspace({"name": name, **given}, read)
        return parsed._replace(warnings=tuple(map(_as_flag, parsed.warnings)))
    except ConfigError as error:
        raise ConfigError(tuple(map(_as_flag, error.problems))) from None


def parse_workspace(
    workspace: Mapping[str, str], read: Callable[[KeySource], str | None]
) -> schema.ParsedConfig:
    """Parse a workspace whose discovery selects what it selects by default."""
    discover = {"campaigns": {"max": 100_000}, "canvases": {"max": 100_000}}
    return schema.parse(
        json.dumps({"workspaces": [{**workspace, "discover": discover}]}),
        file="command line",
        read_key=read,
        is_file=lambda _: False,
        keys_required=False,
    )


def _as_flag(problem: Problem) -> Problem:
    message = _NO_KEY if problem.path == "workspaces[0]" else problem.message
    return problem._replace(path=_PLACES.get(problem.path, ""), message=message)
