"""The command-line flags, each with an environment variable.

A flag on the command line takes precedence over its variable.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, NamedTuple, NoReturn

from exporter.commands import unknown_arguments
from exporter.system.api_key import without_quotes

PORT = 10417

OF_COMMANDS = (
    *("endpoint", "api-key-env", "api-key-file", "workspace", "requests-per-minute"),
    *("output", "days", "campaign", "canvas", "series", "label", "step", "kind"),
    *("seed", "campaigns", "canvases", "timezone"),
    *("listen-address", "active-fraction", "rate-limit", "shared-rate-limit"),
    *("client.cert-file", "client.key-file", "ready"),
    "scaling",
)
"""Names of the flags of other commands, which their modules define."""

_PREFIX = "BRAZE_EXPORTER_"
_OF_KUBERNETES = re.compile(
    r".*_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)"
)
_PASSWORD = re.compile(r"(?<=://)\S*(?=@)|(?<=[?&]password=)[^&\s]*")
_REPEATED_VALUES = (
    (re.compile(r"ignored explicit argument .*", re.DOTALL), "expected no value"),
    (
        re.compile(r"invalid choice: .* \(choose from (.*)\)", re.DOTALL),
        r"expected one of \1",
    ),
)
"""Messages of argparse that repeat a value, and their replacements."""
_NUMBER = re.compile(r"\d+\.?\d*|\.\d+", re.ASCII)
_ON = ("true", "1", "yes", "on")
_OFF = ("false", "0", "no", "off")


class Flag(NamedTuple):
    """One flag. With `is_list` it may be repeated; its variable is a comma list."""

    name: str
    help: str
    metavar: str = ""
    default: str | None = None
    choices: tuple[str, ...] = ()
    is_list: bool = False
    is_switch: bool = False
    """On or off: its variable is `true` or `false`."""

    @property
    def variable(self) -> str:
        """The name of the environment variable."""
        return f"{_PREFIX}{self.key.upper()}"

    @property
    def key(self) -> str:
        """The attribute that holds its value."""
        return self.name.replace(".", "_").replace("-", "_")


CONFIG_FILE = Flag("config.file", "The configuration to read.", "FILE")
NO_CONFIG_FILE = (
    f"no configuration: give --config.file FILE or set {CONFIG_FILE.variable}"
)
CONFIG = (
    CONFIG_FILE,
    Flag(
        "config.check",
        "Validate the configuration, print the plan and exit: same as `check`.",
        is_switch=True,
    ),
    Flag(
        "config.enable-auto-reload",
        "Reload the configuration when the content of the file changes.",
        is_switch=True,
    ),
)
STATE_PATH = Flag(
    "state.path",
    "Directory that keeps the last values over a restart. Off by default.",
    "DIR",
)
PLACEMENT = (
    Flag(
        "shard",
        "Poll only this part of the campaigns, canvases and series, with every request "
        "ceiling divided by --total-shards. A number from 0, or a pod name that ends "
        "in one.",
        "N",
    ),
    Flag("total-shards", "Number of shards that have this configuration.", "M"),
    Flag(
        "replicas",
        "Number of identical exporters that poll the same campaigns, canvases and "
        "series with the same key: every request ceiling of this process is divided by "
        "it.",
        "N",
        default="1",
    ),
)
WEB_CONFIG_FILE = Flag(
    "web.config.file",
    "TLS and basic auth, in exporter-toolkit's format. None if not given.",
    "FILE",
)
WEB = (
    Flag(
        "web.listen-address",
        "Where to listen: host:port, :port or [v6]:port; port 0 picks a free one. May "
        "be repeated.",
        "ADDR",
        default=f":{PORT}",
        is_list=True,
    ),
    Flag("web.telemetry-path", "Path of the metrics.", "PATH", default="/metrics"),
    Flag(
        "web.external-url",
        "The URL under which this exporter is reached, for its links, as behind a "
        "reverse proxy.",
        "URL",
    ),
    Flag(
        "web.route-prefix",
        "Prefix of all paths. Defaults to the path of --web.external-url.",
        "PATH",
    ),
    Flag(
        "web.enable-lifecycle",
        "Let clients reload the configuration by POST /-/reload.",
        is_switch=True,
    ),
    WEB_CONFIG_FILE,
)
LOG = (
    Flag(
        "log.level",
        "Least severe events to log.",
        default="info",
        choices=("debug", "info", "warn", "error"),
    ),
    Flag(
        "log.format",
        "How a log line is written.",
        default="logfmt",
        choices=("logfmt", "json"),
    ),
)
OF_DAEMON: tuple[Flag, ...] = (*CONFIG, STATE_PATH, *PLACEMENT, *WEB, *LOG)


class Parser(argparse.ArgumentParser):
    """A parser of such flags: usage errors end with exit code 2."""

    def __init__(
        self, flags: Sequence[Flag], program: str, description: str, epilog: str = ""
    ) -> None:
        super().__init__(
            prog=program,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._flags = flags
        for flag in flags:
            self._add(flag)

    def _add(self, flag: Flag) -> None:
        notes = [f"default: {flag.default}"] if flag.default else []
        notes.append(f"env: {flag.variable}")
        kind: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        if not flag.is_switch:
            kind = {
                "metavar": "|".join(flag.choices) or flag.metavar or None,
                "choices": flag.choices or None,
                "action": "append" if flag.is_list else "store",
            }
        help_ = f"{flag.help} ({'; '.join(notes)})"
        self.add_argument(f"--{flag.name}", dest=flag.key, help=help_, **kind)

    def parse(
        self, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> argparse.Namespace:
        """Parse flags, then environment variables, then defaults."""
        options, unknown = self.parse_known_args(arguments)
        if unknown:
            self.error(self.describe_unknown(unknown))
        for flag in self._flags:
            if getattr(options, flag.key) is None:
                text = without_quotes(environment.get(flag.variable, "")).strip(" ,")
                setattr(options, flag.key, self._value(flag, text))
        return options

    def parse_known_args(  # type: ignore[override]  # without a namespace
        self, args: Sequence[str]
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse flags, and return also unknown arguments; refuse an API key.

        It is refused first: the messages of argparse repeat values.
        """
        known = {f"--{flag.name}" for flag in self._flags}
        if any(unknown_arguments.gives_key(word, known) for word in args):
            self.error(unknown_arguments.KEY_ADVICE)
        return super().parse_known_args(args)

    def describe_unknown(self, unknown: Sequence[str]) -> str:
        """Return a message about unknown arguments, without a value."""
        return unknown_arguments.describe(unknown)

    @contextmanager
    def usage_errors(self) -> Iterator[None]:
        """Exit with code 2 and the message of a ValueError that the block raises."""
        try:
            yield
        except ValueError as error:
            self.error(str(error))

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and a message of one line.

        Argparse quotes the arguments, and a URL may contain a password.
        """
        message = _PASSWORD.sub("...", message)
        for pattern, replacement in _REPEATED_VALUES:
            message = pattern.sub(replacement, message)
        self.exit(2, f"{self.prog}: error: {message}\nsee {self.prog} --help\n")

    def _value(self, flag: Flag, text: str) -> str | list[str] | bool | None:
        """Return the value of a variable, or the default if it is empty."""
        if flag.is_switch:
            choices: tuple[str, ...] = (*_ON, *_OFF)
            text = text.lower() or "false"
        else:
            choices = flag.choices
        value = text or flag.default
        if choices and value not in choices:
            expected = ", ".join(choices)
            self.error(f"{flag.variable} is {value!r}, expected one of {expected}")
        if flag.is_switch:
            return value in _ON
        return _split(value) if flag.is_list and value else value


def unknown_variables(
    environment: Mapping[str, str], *, but: Collection[str] = ()
) -> tuple[str, ...]:
    """Return a warning for each unknown BRAZE_EXPORTER_* variable.

    `but` are variables with another use. Those that Kubernetes sets for a service named
    braze-exporter are ignored.
    """
    known = {one.variable for one in OF_DAEMON}
    known |= {Flag(name, "").variable for name in OF_COMMANDS}
    ends = [one.removeprefix(_PREFIX) for one in known]
    warnings = []
    for name in sorted(environment.keys() - known - {*but}):
        if name.startswith(_PREFIX) and not _OF_KUBERNETES.fullmatch(name):
            close = get_close_matches(name.removeprefix(_PREFIX), ends, n=1)
            guess = f"; did you mean {_PREFIX}{close[0]}?" if close else ""
            warnings.append(
                f"the environment variable {name} belongs to no flag{guess}"
            )
    return tuple(warnings)


def parse_whole(flag: str, text: str, *, least: int, most: int = 0) -> int:
    """Parse the value of a flag. ValueError: names the flag."""
    is_whole = text.isascii() and text.isdecimal() and len(text) <= 18
    if not is_whole or not least <= int(text) <= (most or 10**18):
        wanted = f"whole number, {least} or more"
        if most:
            wanted = f"number from {least} to {most}"
        message = f"--{flag} is {text!r}, expected a {wanted}"
        raise ValueError(message)
    return int(text)


def parse_number(flag: str, text: str, *, least: float, most: float) -> float:
    """Parse the value of a flag. ValueError: names the flag."""
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not least <= number <= most:
        limits = f"from {least:g} to {most:g}"
        message = f"--{flag} is {text!r}, expected a number {limits}"
        raise ValueError(message)
    return number


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
