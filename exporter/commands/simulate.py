"""`braze-exporter simulate`: the simulated Braze alone, to try a configuration on."""

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
    Flag("seed", "Figures are the same for the same seed.", "N", default="1"),
    Flag("campaigns", "How many campaigns. The 22 named ones if not given.", "N"),
    Flag(
        "timezone",
        "Time zone whose midnight ends a day. UTC if not given; in the demo one where "
        "it is early afternoon.",
        "NAME",
    ),
)
_FLAGS = (
    Flag("listen-address", "Where to listen.", "ADDR", default="127.0.0.1:10418"),
    *FLEET,
    Flag("active-fraction", "Share of campaigns that send.", "F", default="1"),
    Flag(
        "rate-limit",
        "Requests per window of seconds that data series are allowed.",
        "N/SECONDS",
        default="50000/60",
    ),
)

_MOST_TOLD = 20
_DESCRIPTION = """\
A Braze in one process: seeded campaigns behind GET /campaigns/data_series,
/campaigns/list and /campaigns/details, with rate limits, and faults on demand:

  curl -X PUT localhost:10418/-/faults -d '{"status": 503, "count": 3}'
  curl localhost:10418/-/faults
  curl -X DELETE localhost:10418/-/faults
  curl localhost:10418/-/requests"""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Serve until a signal ends it."""
    parser = Parser(_FLAGS, program="braze-exporter simulate", description=_DESCRIPTION)
    options = parser.parse(arguments, environment)
    try:
        address = parse_address(options.listen_address)
        settings = replace(
            workspace(options),
            host=address.host or "0.0.0.0",  # noqa: S104 - as every other address
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
    """Yield where it is, and a configuration to paste."""
    yield f"simulated Braze at {braze.url}, API key {braze.api_key}"
    yield ""
    yield "A configuration that polls it; the key is in the variable after"
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
    for campaign in braze.campaigns[:_MOST_TOLD]:
        yield f"      - id: {campaign.id}"
        yield f"        name: {quoted(campaign.name)}"
    more = len(braze.campaigns) - _MOST_TOLD
    if more > 0:
        yield (
            f"      # and {more} more; `braze-exporter discover` prints all but drafts "
            "and archived ones"
        )


def workspace(options: argparse.Namespace) -> SimulatorSettings:
    """Return the workspace that the flags of `FLEET` describe; ValueError names one."""
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
