"""The command line's flags, each with its environment twin.

One table says what there is; a flag on the command line wins over the environment. It
reads neither by itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PORT = 10417


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag; `is_list`: it may be repeated, and its twin is separated by commas."""

    name: str
    help: str
    metavar: str = ""
    default: str | None = None
    choices: tuple[str, ...] = ()
    is_list: bool = False

    @property
    def variable(self) -> str:
        """The name of the environment twin."""
        text = self.name.replace(".", "_").replace("-", "_").upper()
        return f"BRAZE_EXPORTER_{text}"

    @property
    def key(self) -> str:
        """The attribute that holds its value."""
        return self.name.replace(".", "_").replace("-", "_")


CONFIG_FILE = Flag("config.file", "The configuration to read.", "FILE")
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


class Parser(argparse.ArgumentParser):
    """A parser of such flags: usage errors end with exit code 2."""

    def __init__(
        self, flags: Sequence[Flag], *, program: str, description: str, epilog: str = ""
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
            notes = [f"default: {flag.default}"] if flag.default else []
            notes.append(f"env: {flag.variable}")
            self.add_argument(
                f"--{flag.name}",
                dest=flag.key,
                metavar="|".join(flag.choices) or flag.metavar or None,
                choices=flag.choices or None,
                action="append" if flag.is_list else "store",
                help=f"{flag.help} ({'; '.join(notes)})",
            )

    def parse(
        self, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> argparse.Namespace:
        """Parse; what no flag says is taken from its twin, else from its default."""
        options = self.parse_args(arguments)
        for flag in self._flags:
            if getattr(options, flag.key) is None:
                said = environment.get(flag.variable, "")
                text = said if said.strip(" ,") else flag.default
                if flag.choices and text not in flag.choices:
                    expected = ", ".join(flag.choices)
                    self.error(
                        f"{flag.variable} is {text!r}, expected one of {expected}"
                    )
                value = _split(text) if flag.is_list and text else text
                setattr(options, flag.key, value)
        return options


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
