"""The estimates that `braze-exporter check --scaling` prints."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.commands import nouns
from exporter.polling import cost_estimate
from exporter.polling.cost_estimate import GIB, MIB, SCRAPE_SECONDS, Scaling


def describe(costs: Scaling) -> Iterator[str]:
    """Yield the estimates; they cover all shards."""
    more = f", {costs.found} of them found by discovery" if costs.found else ""
    objects = nouns.joined(nouns.objects(dict(costs.objects)), "and") or "no objects"
    yield f"""\
scaling, for {objects}{more} (estimates: see docs/scaling.md)
  exporter             {costs.requests_per_minute:.4g} requests per minute, \
{100 * costs.core_share:.2g} % of a core, {_size(costs.resident_bytes)}
  state file           {_size(costs.state_bytes)}, with --state.path
  shards advised       {_shards(costs)}"""
    if costs.objects_per_core:
        plurals = dict.fromkeys(
            nouns.SERIES if kind.is_series else kind.plural for kind, _ in costs.objects
        )
        yield (
            f"  half a core carries  about {costs.objects_per_core} such "
            f"{nouns.joined(plurals, 'and')}, "
            "at the intervals above"
        )
    yield f"""\
  Prometheus's memory  {_range(costs.head_bytes)}, {costs.series} series
  scraped every        samples per second   \
disk for {cost_estimate.RETENTION_DAYS} days"""
    for seconds in SCRAPE_SECONDS:
        samples, disk = costs.samples_per_second(seconds), costs.disk_bytes(seconds)
        yield f"    {seconds:>3} s              {_rounded(samples):<20} {_range(disk)}"
    for saving in costs.savings:
        percent = 100 * (1 - saving.series / costs.series)
        yield f"  {percent:3.0f} % fewer series   {saving.change}"


def _shards(costs: Scaling) -> str:
    if costs.shards == 1:
        return "one exporter is enough"
    bound = "half a core"
    if costs.is_limited_by_series:
        bound = f"{cost_estimate.SERIES_ADVISED} series"
    return f"{costs.shards}, for about {bound} each at most"


def _range(sizes: tuple[float, float]) -> str:
    return " to ".join(map(_size, sizes))


def _size(size: float) -> str:
    unit, of_unit = ("GiB", size / GIB) if size >= GIB else ("MiB", size / MIB)
    if of_unit < 0.1:
        unit, of_unit = "KiB", size / 1024
    return f"{_rounded(of_unit)} {unit}"


def _rounded(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"
