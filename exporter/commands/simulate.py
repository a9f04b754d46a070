"""`braze-exporter simulate`: the simulated Braze alone, to try a configuration on."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Mapping, Sequence

from exporter.flags import Flag, Parser
from exporter.listener import parse_address
from exporter.simulator import RateLimit, Settings, Simulator

FLEET = (
    Flag("seed", "Figures are the same for the same seed.", "N", default="1"),
    Flag("campaigns", "How many campaigns; the named ones if not told.", "N"),
    Flag("timezone", "Whose midnight parts the days.", "NAME", default="UTC"),
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

_DESCRIPTION = """\
A Braze in one process: seeded campaigns behind GET /campaigns/data_series,
/campaigns/list and /campaigns/details, with rate limits, and faults on demand:

  curl -X PUT localhost:10418/-/faults -d '{"status": 503, "count": 3}'
  curl -X DELETE localhost:10418/-/faults
  curl localhost:10418/-/requests"""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Serve until a signal ends it."""
    parser = Parser(_FLAGS, program="braze-exporter simulate", description=_DESCRIPTION)
    options = parser.parse(arguments, environment)
    try:
        address = parse_address(options.listen_address)
        requests, _, seconds = options.rate_limit.partition("/")
        settings = Settings(
            seed=int(options.seed),
            campaigns=int(options.campaigns) if options.campaigns else None,
            timezone=options.timezone,
            host=address.host or "127.0.0.1",
            port=address.port,
            active_fraction=float(options.active_fraction),
            data_series_limit=RateLimit(int(requests), int(seconds)),
        )
        braze = Simulator(settings)
    except (ValueError, LookupError) as error:
        parser.error(str(error))
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
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    print(f"simulated Braze at {braze.url}, API key {braze.api_key}", flush=True)
    for campaign in braze.campaigns[:20]:
        print(f"  {campaign.id}  {campaign.name}", flush=True)
    stopped.wait()
    braze.stop()
    return 0
