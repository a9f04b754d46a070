"""`braze-exporter demo`: the daemon, polling a simulated Braze over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from exporter.braze.proxies import ProxySettings
from exporter.commands import print_error
from exporter.commands.flags import LOG, WEB, Parser
from exporter.commands.simulate import FLEET, series, workspace
from exporter.config import schema
from exporter.daemon.daemon import Daemon
from exporter.daemon.process import serve, start_logging
from exporter.simulator import Incident, Simulator
from exporter.system.clock import Clock
from exporter.web.security import Security
from exporter.web.server import Address
from exporter.web.settings import settings

_DESCRIPTION = """\
Run the exporter without a Braze API key: the daemon polls a simulated Braze over HTTP.
Its campaigns include a bounce spike, a spam spike and one that stopped sending; one of
its canvases sends nothing although users enter it. A custom event is no longer counted,
a segment collapsed, and a data ingestion fails. A contract limits emails and SMS of the
month.
"""

_INTERVAL = "15s"
_REQUESTS_PER_MINUTE = 240
_MOST_SHARED_PER_MINUTE = 4000
"""The maximum of `shared_requests_per_minute`."""
_CONTRACT = {"email": 8_000_000, "sms": 750_000}
"""Of the default fleet, of which a month has some 85 % and 95 %."""
_INCIDENTS = {
    Incident.BOUNCES: "bounces",
    Incident.SPAM: "is reported as spam",
    Incident.SILENCE: "stopped sending",
}
_CANVAS_INCIDENTS = {Incident.SILENCE: "sends nothing, although users enter it"}


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run both until a signal is received."""
    parser = Parser((*WEB, *LOG, *FLEET), "braze-exporter demo", _DESCRIPTION)
    options = parser.parse(arguments, environment)
    # Early in a day the figures are too small to show the incidents.
    options.timezone = options.timezone or early_afternoon(Clock().now())
    with parser.usage_errors():
        web = settings(options)
        braze = Simulator(workspace(options))
    protection = Security(options.web_config_file)
    for warning in protection.load():
        print_error(str(warning))
    start_logging(level=options.log_level, format_=options.log_format)
    with braze:
        parsed = schema.parse(
            configuration(braze),
            file="demo",
            read_key=lambda _: braze.api_key,
            is_file=lambda _: False,
        )
        daemon = Daemon(
            parsed.config,
            web,
            read_key=lambda _: braze.api_key,
            proxies=ProxySettings.from_environment(environment),
            security=protection,
        )
        path = f"{web.prefix}{web.telemetry_path}"
        scheme = "https" if protection.ssl_context() else "http"
        return serve(
            daemon,
            on_listening=lambda bound: _welcome(scheme, bound[0], path, braze),
            # There is no file to reload: SIGHUP means that the terminal was closed.
            ends_on_hangup=True,
        )


def early_afternoon(at: float) -> str:
    """Return a time zone where it is between 13:00 and 14:00 at an instant.

    The sign of these zones is inverted: Etc/GMT+5 is five hours behind UTC.
    """
    west = datetime.fromtimestamp(at, UTC).hour - 13
    return f"Etc/GMT{west:+d}"


def configuration(braze: Simulator) -> str:
    """Return the configuration that polls a simulated workspace (JSON is YAML).

    Campaigns and series are listed, canvases are discovered.
    """
    canvases = len(braze.canvases)
    workspace = {
        "name": "demo",
        "endpoint": braze.url,
        "api_key_env": "BRAZE_API_KEY",
        "timezone": braze.settings.timezone,
        "interval": _INTERVAL,
        "canvas_interval": _INTERVAL,
        "canvas_steps": True,
        "requests_per_minute": max(_REQUESTS_PER_MINUTE, 4 * len(braze.campaigns)),
        "shared_requests_per_minute": min(
            max(_REQUESTS_PER_MINUTE, 8 * canvases), _MOST_SHARED_PER_MINUTE
        ),
        "campaigns": [
            {"id": campaign.id, "name": campaign.name} for campaign in braze.campaigns
        ],
        "discover": {"canvases": {"max": max(canvases, 1)}},
        "series": {"interval": _INTERVAL, **series(braze)},
        "contract": _CONTRACT,
    }
    return json.dumps({"workspaces": [workspace]}, ensure_ascii=False)


def _incidents(braze: Simulator) -> Iterator[str]:
    """Yield a line for each incident."""
    for objects, texts in (
        (braze.campaigns, _INCIDENTS),
        (braze.canvases, _CANVAS_INCIDENTS),
    ):
        yield from (
            f"{one.name!r} {texts[one.incident]}" for one in objects if one.incident
        )
    for event in braze.events:
        if event.stopped_on:
            yield f"the event {event.name!r} is no longer counted"
    for segment in braze.segments:
        if segment.collapsed_on:
            yield f"the segment {segment.name!r} lost nearly all of its users"
    for integration in braze.integrations:
        if integration.failing_since:
            yield f"the data ingestion {integration.name!r} fails"


def _welcome(scheme: str, address: Address, path: str, braze: Simulator) -> None:
    host = address.host if address.host not in {"", "0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104 - read, not bound
    url = f"{scheme}://{Address(host, address.port)}"
    incidents = "\n".join(f"  {one}" for one in _incidents(braze))
    print(
        f"""
Braze exporter demo: a simulated Braze at {braze.url}, polled every {_INTERVAL}.

  Open     {url}/
  Metrics  {url}{path}
  Stop     Ctrl-C

Incidents in its data, for you to find:
{incidents}

Alerts on them, with the rules in grafana/rules: docs/getting-started.md lists which
fire after how long. Those on the event and the segment need figures of past weeks.

Try next, in another terminal:
  curl -s {url}{path} | grep braze_campaign_daily | grep bounces
  curl -s {url}{path} | grep braze_canvas_step_daily | grep sent
  curl -s {url}{path} | grep -E 'braze_(segment_size|event_count|data_ingestion)'
  curl -X PUT {braze.url}/-/faults -d '{{"status": 503}}'    # an outage of Braze
  curl -X DELETE {braze.url}/-/faults                      # and its end

For your own Braze: cp config.example.yaml config.yaml, edit it, then run
(after `make demo` the command is .venv/bin/braze-exporter)
  export BRAZE_API_KEY=...
  braze-exporter check config.yaml
  braze-exporter --config.file config.yaml
""",
        flush=True,
    )
