"""`braze-exporter --config.file FILE`: the daemon."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from exporter import __version__
from exporter.braze.proxies import ProxySettings
from exporter.commands import COMMANDS
from exporter.commands import load as load_command
from exporter.commands.config_files import Placement, load_protected
from exporter.commands.flags import NO_CONFIG_FILE, OF_DAEMON, Parser, unknown_variables
from exporter.config.load import load
from exporter.config.schema import ParsedConfig, shortened
from exporter.daemon.daemon import ConfigSource, Daemon
from exporter.daemon.process import serve, start_logging
from exporter.model.config import Config
from exporter.system.api_key import read_key
from exporter.system.file_watch import FileWatch
from exporter.web.security import Security
from exporter.web.settings import settings

_log = logging.getLogger("exporter")

_DESCRIPTION = f"""\
Prometheus exporter for Braze: polls GET /campaigns/data_series, /canvas/data_series and
series of the workspace (users, segments, events, ...), and serves their latest figures
as gauges.
Version {__version__}.

Without a command it runs the daemon, which needs --config.file."""

_EPILOG = """\
commands:
{commands}

  Help for a command: braze-exporter COMMAND --help

first steps:
  braze-exporter demo                       try it without a Braze key
  export BRAZE_API_KEY=...                  a key with campaigns.data_series, with
                                            canvas.data_series for canvases, and with
                                            that of each series; `doctor` tests them
  braze-exporter check config.yaml          validate it and print the plan
  braze-exporter --config.file config.yaml  then scrape http://localhost:10417/metrics

environment:
  Each flag can be set by the variable shown as env; the flag takes precedence. A switch
  is true or false there, and --no-... on the command line turns it off.
  HTTPS_PROXY, NO_PROXY and similar apply to requests to Braze, and so do SSL_CERT_FILE,
  SSL_CERT_DIR, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, which replace the system's
  certificates.
  API keys are read from the variable or file that the configuration names; no flag
  accepts a key.

signals:
  SIGHUP            reload the configuration; an invalid one changes nothing
  SIGTERM, SIGINT   stop within seconds, with exit code 0

exit codes:
  0 success, 1 failure, 2 invalid usage or configuration: see standard error"""


def parser() -> Parser:
    """Return the parser of the daemon's command line."""
    commands = "\n".join(f"  {name:<13} {text}" for name, text in COMMANDS.items())
    epilog = _EPILOG.format(commands=commands)
    made = Parser(OF_DAEMON, "braze-exporter", _DESCRIPTION, epilog)
    made.add_argument(
        "--version", action="version", version=f"braze-exporter {__version__}"
    )
    return made


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the daemon until a signal ends it."""
    reader = parser()
    if error := _unknown_word(reader.parse_known_args(arguments)[1]):
        reader.error(error)
    options = reader.parse(arguments, environment)
    if not options.config_file:
        reader.error(f"{NO_CONFIG_FILE} (or try `braze-exporter demo`)")
    with reader.usage_errors():
        web = settings(options)
        placement = Placement.of(options)
    if options.config_check:
        check = load_command("check")
        code: int = check.report(options, environment, placement)
        return code
    start_logging(level=options.log_level, format_=options.log_format)
    watch = FileWatch(options.config_file)
    protection = Security(options.web_config_file)
    parsed = load_protected(
        options.config_file, environment, protection, is_reloaded=True
    )

    def own(parsed: ParsedConfig) -> Config:
        for warning in shortened(parsed.warnings):
            _log.warning("config.warning", extra={"fields": {"problem": str(warning)}})
        return placement.with_ceilings(parsed.config)

    config = own(parsed)
    for problem in unknown_variables(environment, but=config.key_variables):
        _log.warning("environment.warning", extra={"fields": {"problem": problem}})

    source = ConfigSource(
        load=lambda: own(load(options.config_file, environment, is_reloaded=True)),
        has_changed=(
            watch.has_changed if options.config_enable_auto_reload else lambda: False
        ),
    )
    daemon = Daemon(
        config,
        web,
        read_key=lambda one: read_key(one, environment),
        proxies=ProxySettings.from_environment(environment),
        source=source,
        state_path=options.state_path,
        security=protection,
        shard=placement.shard,
    )
    return serve(daemon)


def _unknown_word(unknown: Sequence[str]) -> str:
    """Return what is wrong with words that are no flags; empty: leave it to argparse.

    A word after an unknown flag may be that flag's value.
    """
    command = next((word for word in unknown if word in COMMANDS), None)
    if command:
        return f"a command comes before its flags: braze-exporter {command} ..."
    if not unknown or unknown[0].startswith("-"):
        return ""
    word = unknown[0]
    if word.endswith((".yaml", ".yml")):
        return f"unknown command {word!r}: to run it, give --config.file {word}"
    close = get_close_matches(word, COMMANDS, n=1)
    guess = f"did you mean {close[0]}?" if close else "see braze-exporter --help"
    return f"unknown command: expected one of {', '.join(COMMANDS)}; {guess}"
