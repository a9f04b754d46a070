"""`braze-exporter check FILE`: validate a configuration and print its plan."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from exporter.braze.rate_limit import spacing
from exporter.commands.config_files import load_protected
from exporter.commands.flags import (
    CONFIG_FILE,
    REPLICAS,
    SHARD,
    WEB_CONFIG_FILE,
    Flag,
    Parser,
    unknown_variables,
)
from exporter.config.units import duration_text
from exporter.model.config import Config, DiscoverConfig
from exporter.polling import cost_estimate
from exporter.polling.cost_estimate import GIB, MIB, SCRAPE_SECONDS, Scaling
from exporter.polling.plan import WorkspacePlan, discovery_per_day, plan
from exporter.polling.sharding import Shard, divide_ceilings, replicas_of
from exporter.series.parse import QUIET_DAYS
from exporter.web.security import security

_DESCRIPTION = """\
Validate a configuration, report all problems at once with file, line and path, and
print its polling plan. No request is sent to Braze. A missing API key is only a
warning: a configuration can be checked without keys, but the daemon requires them."""

_SCALING = Flag(
    "scaling",
    "Also print estimates of CPU, memory, series and disk, the advised number of "
    "shards, and options that save series.",
    is_switch=True,
)


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Check the configuration."""
    parser = Parser(
        (CONFIG_FILE, WEB_CONFIG_FILE, *SHARD, REPLICAS, _SCALING),
        program="braze-exporter check",
        description=_DESCRIPTION,
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="the configuration; same as --config.file FILE",
    )
    options = parser.parse(arguments, environment)
    file = options.file or options.config_file
    if not file:
        parser.error(f"no configuration: give FILE or set {CONFIG_FILE.variable}")
    try:
        shard = Shard.of_texts(options.shard, options.total_shards)
        replicas = replicas_of(options.replicas)
    except ValueError as error:
        parser.error(str(error))
    return report(
        file,
        environment,
        options.web_config_file,
        shard=shard,
        replicas=replicas,
        shows_scaling=options.scaling,
    )


def report(
    file: str,
    environment: Mapping[str, str],
    web_file: str | None,
    *,
    shard: Shard | None = None,
    replicas: int = 1,
    shows_scaling: bool = False,
) -> int:
    """Print the warnings and the plan. ConfigError: a file has problems."""
    protection = security(web_file)
    parsed = load_protected(file, environment, protection, keys_required=False)
    strange = unknown_variables(environment, but=parsed.config.key_variables)
    for warning in (*parsed.warnings, *(f"warning: {one}" for one in strange)):
        print(warning, file=sys.stderr)
    print(
        describe(
            file,
            parsed.config,
            warnings=len(parsed.warnings) + len(strange),
            shard=shard,
            replicas=replicas,
        )
    )
    if shows_scaling:
        costs = cost_estimate.scaling(parsed.config)
        print("", *_describe_scaling(costs), sep="\n")
    if web_file is not None:
        print(f"\n{web_file}: valid, {protection.describe()}")
    return 0


def describe(
    file: str,
    config: Config,
    *,
    warnings: int = 0,
    shard: Shard | None = None,
    replicas: int = 1,
) -> str:
    """Return the plan of this shard and replica as text."""
    suffix = f", {_count(warnings, 'warning')}" if warnings else ""
    campaigns = sum(len(one.campaigns) for one in config.workspaces)
    plans = plan(_part(config, shard, replicas))
    series = sum(one.typical_series for one in plans)
    lines = [
        f"{file}: valid, {_count(len(plans), 'workspace')}, "
        f"{_count(campaigns, 'campaign')}{suffix}",
        *(_describe_shard(plans, shard) if shard else ()),
        *(_describe_replicas(replicas) if replicas > 1 else ()),
        *(line for one in plans for line in _describe_workspace(one)),
        "",
        f"series expected: about {series} if each campaign sends one email message, at "
        f"most {config.limits.series_per_campaign} per campaign",
    ]
    return "\n".join(lines)


def _part(config: Config, shard: Shard | None, replicas: int) -> Config:
    config = divide_ceilings(config, replicas * (shard.total if shard else 1))
    if shard is None:
        return config
    workspaces = tuple(
        replace(one, campaigns=shard.own(one.campaigns)) for one in config.workspaces
    )
    return config._replace(workspaces=workspaces)


def _describe_shard(plans: Sequence[WorkspacePlan], shard: Shard) -> list[str]:
    campaigns = sum(len(one.workspace.campaigns) for one in plans)
    return [
        "",
        f"shard {shard.number} of {shard.total} (numbers start at 0): "
        f"{_count(campaigns, 'campaign')}, every ceiling divided by {shard.total}",
    ]


def _describe_replicas(replicas: int) -> list[str]:
    return ["", f"one of {replicas} replicas: every ceiling divided by {replicas}"]


def _describe_workspace(one: WorkspacePlan) -> list[str]:
    workspace = one.workspace
    lines = [
        "",
        f"workspace {workspace.name} at {workspace.endpoint}",
        f"  campaigns            {len(workspace.campaigns)}",
        f"  requests per minute  {one.wanted_per_minute:.4g} wanted, "
        f"{one.ceiling_per_minute:.4g} allowed, {one.planned_per_minute:.4g} planned",
        f"  days per request     {one.days_per_request}",
        f"  interval             {one.interval_seconds:.4g} s",
        f"  idle interval        {_idle(one)}",
        f"  first round          {_round_seconds(one):.4g} s",
        f"  series expected      about {one.typical_series}",
    ]
    if workspace.discover is not None:
        lines += _describe_discovery(one, workspace.discover)
    if one.stretch > 1:
        lines.append(
            f"  intervals are stretched {one.stretch:.4g} times: to poll at the "
            "configured intervals, set requests_per_minute to "
            f"{one.needed_per_minute:g} or more"
        )
    return lines


def _describe_discovery(one: WorkspacePlan, discover: DiscoverConfig) -> list[str]:
    """Return the requests of discovery, and those of campaigns that it may find."""
    most = discover.max_campaigns
    lists, details = discovery_per_day(discover, campaigns=most)
    wanted = one.wanted_per_minute + most * 60 / one.workspace.interval_seconds
    every = duration_text(discover.list_interval_seconds)
    return [
        f"  discovery            up to {_count(most, 'more campaign')}, not included "
        f"above: {wanted:.4g} requests per minute wanted with them",
        f"  discovery requests   at most {discover.requests_per_minute:g} per minute, "
        "from Braze's limit of 250,000 an hour that live sends share",
        f"                       with {most} campaigns up to "
        f"{_count(lists + details, 'request')} a day:",
        f"                       {lists} for the list (every {every}), {details} for "
        "details (daily)",
    ]


def _describe_scaling(costs: Scaling) -> Iterator[str]:
    """Yield the estimates; they cover all shards."""
    found = costs.found_campaigns
    more = f", {found} of them found by discovery" if found else ""
    rate, memory = costs.requests_per_minute, _size(costs.resident_bytes)
    yield (
        f"scaling, for {_count(costs.campaigns, 'campaign')}{more} (estimates: see "
        "docs/scaling.md)"
    )
    yield (
        f"  exporter             {rate:.4g} requests per minute, "
        f"{100 * costs.core_share:.2g} % of a core, {memory}"
    )
    yield f"  shards advised       {_shards(costs)}"
    if costs.campaigns_per_core:
        yield (
            f"  half a core carries  about {costs.campaigns_per_core} such campaigns, "
            "at the intervals above"
        )
    yield f"  Prometheus's memory  {_range(costs.head_bytes)}, {costs.series} series"
    days = cost_estimate.RETENTION_DAYS
    yield f"  scraped every        samples per second   disk for {days} days"
    for seconds in SCRAPE_SECONDS:
        samples = f"{costs.samples_per_second(seconds):.0f}"
        disk = _range(costs.disk_bytes(seconds))
        yield f"    {seconds:>3} s              {samples:<20} {disk}"
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
    return f"{of_unit:.0f} {unit}" if of_unit >= 10 else f"{of_unit:.2g} {unit}"


def _idle(one: WorkspacePlan) -> str:
    workspace, idle = one.workspace, one.workspace.idle_interval_seconds
    intervals = [each.interval_seconds for each in workspace.campaigns]
    if workspace.discover is not None:
        intervals.append(workspace.interval_seconds)
    if intervals and idle <= min(intervals):
        return f"off: {idle:.4g} s is not longer than the shortest interval"
    every = f"{idle * one.stretch:.4g} s"
    if one.can_detect_idle:
        return f"{every}, for campaigns without activity in {QUIET_DAYS} days"
    needs = f"requires a window of {QUIET_DAYS}d or more"
    if workspace.discover is None:
        return f"off: it {needs}"
    return f"{every}, for drafts and archived campaigns; for others it {needs}"


def _round_seconds(one: WorkspacePlan) -> float:
    return max(0, len(one.workspace.campaigns) - 1) * spacing(one.ceiling_per_minute)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
