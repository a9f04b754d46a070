"""`braze-exporter simulate`: the simulated Braze alone, to test a configuration."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from exporter.braze.hosts import is_unlisted
from exporter.commands.flags import Flag, Parser, parse_number, parse_whole
from exporter.config.yaml_tree import quoted
from exporter.model.errors import ListenError
from exporter.simulator import (
    Campaign,
    Canvas,
    RateLimit,
    Simulator,
    SimulatorSettings,
)
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
    Flag("canvases", "Number of canvases. Default: the 12 named ones.", "N"),
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
        "Fraction of the generated campaigns and canvases that are active.",
        "F",
        default="1",
    ),
    Flag(
        "rate-limit",
        "Rate limit of the data series of campaigns: requests per window of so many "
        "seconds.",
        "N/SECONDS",
        default="50000/60",
    ),
    Flag(
        "shared-rate-limit",
        "Rate limit of lists, details, canvases and series of the workspace together; "
        "purchases have 1000/3600, data ingestion 50/60.",
        "N/SECONDS",
        default="250000/3600",
    ),
)

_MAX_PRINTED = 20
_DORMANT = {
    "campaigns": "draft and archived",
    "canvases": "draft, stopped and archived",
}
_DESCRIPTION = """\
Serve a simulated Braze: generated campaigns at GET /campaigns/data_series,
/campaigns/list and /campaigns/details, canvases at GET /canvas/data_series,
/canvas/list and /canvas/details, and the series of the workspace at /kpi/,
/sessions/, /purchases/, /segments/, /events/, /messages/ and /cdi/, with rate limits.
Faults are set over HTTP, for all requests or those of a "path", "campaign_id",
"canvas_id", "segment_id" or "event":

  curl -X PUT localhost:10418/-/faults -d '{"status": 503, "count": 3}'
  curl -X PUT localhost:10418/-/faults -d '{"status": 403, "path": "/canvas/list"}'
  curl localhost:10418/-/faults
  curl -X DELETE localhost:10418/-/faults
  curl localhost:10418/-/requests"""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Serve until a signal is received."""
    parser = Parser(_FLAGS, "braze-exporter simulate", _DESCRIPTION)
    options = parser.parse(arguments, environment)
    with parser.usage_errors():
        address = parse_address(options.listen_address)
        fraction = parse_number(
            "active-fraction", options.active_fraction, least=0, most=1
        )
        settings = replace(
            workspace(options),
            host=address.host or "0.0.0.0",  # noqa: S104 - same default as --web.listen-address
            port=address.port,
            active_fraction=fraction,
            data_series_limit=_rate_limit("rate-limit", options.rate_limit),
            shared_limit=_rate_limit("shared-rate-limit", options.shared_rate_limit),
        )
    braze = Simulator(settings)
    try:
        braze.start()
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"cannot listen on {options.listen_address}: {reason}"
        raise ListenError(message) from error
    stopped = threading.Event()
    signals.catch(stopped.set)
    print("\n".join(_lines(braze)), flush=True)
    stopped.wait()
    braze.stop()
    signals.ignore()
    return 0


def _lines(braze: Simulator) -> Iterator[str]:
    """Yield the address, and a configuration for it."""
    endpoint = braze.url.replace("//0.0.0.0:", "//127.0.0.1:")
    yield f"""\
simulated Braze at {braze.url}, API key {braze.api_key}

A configuration for it; set the API key with
  export BRAZE_API_KEY={braze.api_key}

workspaces:
  - name: simulated
    endpoint: {endpoint}
    api_key_env: BRAZE_API_KEY
    timezone: {braze.settings.timezone}"""
    if is_unlisted(endpoint):
        yield "    allow_http: true"
    yield from _listed("campaigns", braze.campaigns)
    yield from _listed("canvases", braze.canvases)
    yield from _series(braze)


def _listed(key: str, objects: Sequence[Campaign | Canvas]) -> Iterator[str]:
    """Yield a list of the configuration; an empty one is left out."""
    if objects:
        yield f"    {key}:"
    for one in objects[:_MAX_PRINTED]:
        yield f"      - id: {one.id}"
        yield f"        name: {quoted(one.name)}"
    more = len(objects) - _MAX_PRINTED
    if more > 0:
        yield (
            f"      # and {more} more; `braze-exporter discover` prints all except "
            f"{_DORMANT[key]} ones"
        )


def series(braze: Simulator) -> dict[str, Any]:
    """Return the section `series` with all that the simulator can answer."""
    return {
        "kpi": ["dau", "mau", "new_users", "uninstalls"],
        "sessions": True,
        "purchases": ["revenue", "quantity"],
        "segments": [
            {"id": one.id, "name": one.name} for one in braze.segments if one.is_tracked
        ],
        "events": [{"name": one.name} for one in braze.events],
        "broadcasts": True,
        "data_ingestion": True,
    }


def _series(braze: Simulator) -> Iterator[str]:
    """Yield the section `series`."""
    yield "    series:"
    for option, value in series(braze).items():
        if value is True:
            yield f"      {option}: true"
        elif isinstance(value[0], str):
            yield f"      {option}: [{', '.join(value)}]"
        else:
            yield f"      {option}:"
            for one in value:
                first, *others = (f"{key}: {quoted(one[key])}" for key in one)
                yield f"        - {first}"
                yield from (f"          {other}" for other in others)


def workspace(options: argparse.Namespace) -> SimulatorSettings:
    """Return the settings given by the flags of `FLEET`. ValueError: names the flag."""
    campaigns, canvases = options.campaigns, options.canvases
    return SimulatorSettings(
        seed=parse_whole("seed", options.seed, least=0),
        campaigns=campaigns and parse_whole("campaigns", campaigns, least=1),
        canvases=canvases and parse_whole("canvases", canvases, least=0),
        timezone=_timezone(options.timezone or "UTC"),
    )


def _timezone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (ValueError, LookupError, OSError) as error:
        message = f"--timezone is {text!r}, expected a name such as Europe/Paris"
        raise ValueError(message) from error


def _rate_limit(flag: str, text: str) -> RateLimit:
    requests, separator, seconds = text.partition("/")
    if not separator:
        message = f"--{flag} is {text!r}, expected requests/seconds as in 250/3600"
        raise ValueError(message)
    return RateLimit(
        parse_whole(flag, requests, least=1), parse_whole(flag, seconds, least=1)
    )
