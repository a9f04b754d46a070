"""`braze-exporter simulate`: the simulated Braze alone, to test a configuration."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from exporter.braze.hosts import is_unlisted
from exporter.commands.flags import Flag, Parser
from exporter.config.yaml_tree import quoted
from exporter.simulator import RateLimit, Simulator, SimulatorSettings
from exporter.system import signals
from exporter.web.server import parse_address

FLEET = (
    Flag(
        "seed",
        "Seed of ids and figures; equal seeds give equal figures.",
        "N",
        default="1",
    ),
    Flag("campaigns", "Number of campaigns. Default: the 22 named ones.", "N"),
    Flag(
        "timezone",
        "Time zone of the days. Default: UTC; in the demo a zone where it is early "
        "afternoon.",
        "NAME",
    ),
)
_FLAGS = (
    Flag("listen-address", "Address to listen on.", "ADDR", default="127.0.0.1:10418"),
    *FLEET,
    Flag(
        "active-fraction",
        "Fraction of the generated campaigns that send.",
        "F",
        default="1",
    ),
    Flag(
        "rate-limit",
        "Rate limit of data series: requests per window of so many seconds.",
        "N/SECONDS",
        default="50000/60",
    ),
)

_MAX_PRINTED = 20
_DESCRIPTION = """\
Serve a simulated Braze: generated campaigns at GET /campaigns/data_series,
/campaigns/list and /campaigns/details, with rate limits. Faults are set over HTTP:

  curl -X PUT localhost:10418/-/faults -d '{"status": 503, "count": 3}'
  curl localhost:10418/-/faults
  curl -X DELETE localhost:10418/-/faults
  curl localhost:10418/-/requests"""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Serve until a signal is received."""
    parser = Parser(_FLAGS, program="braze-exporter simulate", description=_DESCRIPTION)
    options = parser.parse(arguments, environment)
    try:
        address = parse_address(options.listen_address)
        settings = replace(
            workspace(options),
            host=address.host or "0.0.0.0",  # noqa: S104 - same default as --web.listen-address
            port=address.port,
            active_fraction=_fraction(options.active_fraction),
            data_series_limit=_rate_limit(options.rate_limit),
        )
    except ValueError as error:
        parser.error(str(error))
    braze = Simulator(settings)
    try:
        braze.start()
    except OSError as error:
        reason = error.strerror or str(error)
        print(
            f"braze-exporter: cannot listen on {options.listen_address}: {reason}",
            file=sys.stderr,
        )
        return 1
    stopped = threading.Event()
    signals.catch(stopped.set)
    print("\n".join(_lines(braze)), flush=True)
    stopped.wait()
    braze.stop()
    signals.ignore()
    return 0


def _lines(braze: Simulator) -> Iterator[str]:
    """Yield the address, and a configuration for it."""
    yield f"simulated Braze at {braze.url}, API key {braze.api_key}"
    yield ""
    yield "A configuration for it; set the API key with"
    yield f"  export BRAZE_API_KEY={braze.api_key}"
    yield ""
    yield "workspaces:"
    yield "  - name: simulated"
    endpoint = braze.url.replace("//0.0.0.0:", "//127.0.0.1:")
    yield f"    endpoint: {endpoint}"
    yield "    api_key_env: BRAZE_API_KEY"
    yield f"    timezone: {braze.settings.timezone}"
    if is_unlisted(endpoint):
        yield "    allow_http: true"
    yield "    campaigns:"
    for campaign in braze.campaigns[:_MAX_PRINTED]:
        yield f"      - id: {campaign.id}"
        yield f"        name: {quoted(campaign.name)}"
    more = len(braze.campaigns) - _MAX_PRINTED
    if more > 0:
        yield (
            f"      # and {more} more; `braze-exporter discover` prints all except "
            "drafts and archived ones"
        )


def workspace(options: argparse.Namespace) -> SimulatorSettings:
    """Return the settings given by the flags of `FLEET`. ValueError: names the flag."""
    campaigns = options.campaigns
    return SimulatorSettings(
        seed=_whole("--seed", options.seed, least=0),
        campaigns=_whole("--campaigns", campaigns, least=1) if campaigns else None,
        timezone=_timezone(options.timezone or "UTC"),
    )


def _whole(flag: str, text: str, *, least: int) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        message = f"{flag} is {text!r}, expected a whole number, {least} or more"
        raise ValueError(message)
    return int(text)


def _timezone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (ValueError, LookupError, OSError) as error:
        message = f"--timezone is {text!r}, expected a name such as Europe/Paris"
        raise ValueError(message) from error


def _fraction(text: str) -> float:
    try:
        fraction = float(text)
    except ValueError:
        fraction = -1
    if not 0 <= fraction <= 1:
        message = f"--active-fraction is {text!r}, expected a number from 0 to 1"
        raise ValueError(message)
    return fraction


def _rate_limit(text: str) -> RateLimit:
    parts = text.split("/")
    if len(parts) != 2:
        message = f"--rate-limit is {text!r}, expected requests/seconds as in 250/3600"
        raise ValueError(message)
    requests, seconds = (_whole("--rate-limit", part, least=1) for part in parts)
    return RateLimit(requests, seconds)
