"""Every workspace and campaign that is polled, as the configuration in force says.

A new configuration is taken over in place: what did not change keeps its values, its
phase, its budget and its connections. It decides nothing about single polls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from threading import RLock

from exporter.braze.client import Client
from exporter.braze.proxies import ProxySettings
from exporter.braze.rate_limit import Budget, slack, spacing
from exporter.metrics import campaign_metrics
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, ObjectKey, Store
from exporter.model.config import CampaignConfig, Config, KeySource, WorkspaceConfig
from exporter.polling import plan, slots
from exporter.polling.idle import IdleSchedule, is_idle
from exporter.polling.poller import (
    Workspace,
    lifetime_seconds,
    show_rhythm,
    show_status,
)
from exporter.polling.request_queue import ENDPOINT, PendingPoll, RequestQueue
from exporter.polling.scheduler import Scheduler
from exporter.series.kept import Kept, KeptEntries
from exporter.system.api_key import ApiKey, Secret
from exporter.system.logformat import Fact

_log = logging.getLogger(__name__)


CampaignsOf = Callable[[WorkspaceConfig], tuple[CampaignConfig, ...]]


class Workspaces:
    """The desks of all workspaces; `desks` is always as the last `apply` left it.

    Any method may be called by any thread.
    """

    def __init__(
        self,
        *,
        jobs: Scheduler,
        store: Store,
        telemetry: SelfMetrics,
        read_key: Callable[[KeySource], str | None],
        egress: ProxySettings,
        now: Callable[[], float],
        clock_set_by: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`clock_set_by` tells how many seconds the wall clock is ahead of `now`."""
        self.desks: dict[str, Workspace] = {}
        self._jobs = jobs
        self._store = store
        self._telemetry = telemetry
        self._read_key = read_key
        self._egress = egress
        self._now = now
        self._clock_set_by = clock_set_by
        self._lock = RLock()
        self._config: Config | None = None
        self.campaigns_of: CampaignsOf = listed_campaigns
        """What else than the listed campaigns is polled: discovery's part."""
        self._clients: dict[str, Client] = {}
        self._keys: dict[str, ApiKey] = {}
        self._seen_keys: dict[str, Secret] = {}

    def apply(self, config: Config, kept: KeptEntries | None = None) -> None:
        """Poll what this configuration says from now on; begin with `kept` values."""
        with self._lock:
            self._config = config
            plans = {one.workspace.name: one for one in self._plans(config)}
            for name in set(self.desks) - set(plans):
                self._close(name)
            for workspace_plan in plans.values():
                self._apply(config, workspace_plan, kept or {})

    def refresh(self, name: str) -> None:
        """Poll what is discovered in a workspace now."""
        with self._lock:
            desk = self.desks.get(name)
            if desk is None or self._config is None:
                return
            (workspace,) = (one for one in self._config.workspaces if one.name == name)
            campaigns = self.campaigns_of(workspace)
            if campaigns != desk.plan.workspace.campaigns:
                found = replace(workspace, campaigns=campaigns)
                (one,) = plan.plan(self._config._replace(workspaces=(found,)))
                self._apply(self._config, one, {})

    def _budget(self, workspace: WorkspaceConfig) -> Budget:
        rate = workspace.requests_per_minute
        return Budget(
            spacing(rate),
            workspace.reserve,
            workspace.concurrency,
            slack_seconds=slack(rate),
        )

    def _plans(self, config: Config) -> tuple[plan.WorkspacePlan, ...]:
        """Plan a configuration with the campaigns that are discovered in it."""
        workspaces = tuple(
            replace(one, campaigns=self.campaigns_of(one)) for one in config.workspaces
        )
        return plan.plan(config._replace(workspaces=workspaces))

    def _apply(
        self, config: Config, workspace_plan: plan.WorkspacePlan, kept: KeptEntries
    ) -> None:
        name = workspace_plan.workspace.name
        former = self.desks.get(name)
        desk = self._desk(config, workspace_plan, former, kept)
        self.desks[name] = desk
        show_rhythm(desk, self._telemetry)
        _tell_plan(desk.plan, former.plan if former else None)
        self._remove_campaigns(desk, former)
        newcomers = self._take_campaigns(desk, former, kept)
        if former and former.line is desk.line:
            self._keep_on(desk, former)
        else:
            newcomers = tuple(desk.campaigns.values())
        read_at = {key: known.last_success_at for key, known in kept.items()}
        self._begin(desk, newcomers, read_at)

    def look_at_keys(self) -> tuple[str, ...]:
        """Probe a paused workspace at once if its key is another one than before.

        Return the names of the workspaces of which that is so.
        """
        changed = []
        for name, desk in tuple(self.desks.items()):
            read = self._keys.get(name)
            if read is None:
                continue  # it is just being removed
            key = read()
            if self._seen_keys.get(name) != key:
                self._seen_keys[name] = key
                _log.info("key.changed", extra={"facts": {"workspace": name}})
                desk.line.probe_now(now=self._now())
                changed.append(name)
        return tuple(changed)

    def follow_clock(self) -> None:
        """Do what a wall clock that was set asks for; all waits stay as they are."""
        self._jobs.follow_clock()
        for desk in tuple(self.desks.values()):
            desk.line.forget_windows(now=self._now())
        for entry in self._store.entries():
            desk_now = self.desks.get(entry.subject.workspace)
            if desk_now is not None:
                self._store.update(entry.key, partial(self._with_clock, desk=desk_now))

    def _with_clock(self, entry: Entry, *, desk: Workspace) -> Entry:
        status = entry.status._replace(clock_set_by=self._clock_set_by())
        blocks = show_status(entry.subject, status, desk)
        return entry._replace(status=status, status_blocks=blocks)

    def abort(self) -> None:
        """Break off all requests; later ones fail at once."""
        for client in tuple(self._clients.values()):
            client.abort()

    def _desk(
        self,
        config: Config,
        workspace_plan: plan.WorkspacePlan,
        former: Workspace | None,
        kept: KeptEntries,
    ) -> Workspace:
        workspace = workspace_plan.workspace
        before = former.plan.workspace if former else None
        has_same_account = before is not None and _account(before) == _account(
            workspace
        )
        if not has_same_account:
            self._keys[workspace.name] = ApiKey(workspace.key_source, self._read_key)
            self._seen_keys[workspace.name] = self._keys[workspace.name]()
            self._telemetry.expect(workspace.name, ENDPOINT)
        if former is None or _way(former.config, before) != _way(config, workspace):
            self._connect(config, workspace)
        campaigns = {campaign.id: campaign for campaign in workspace.campaigns}
        budget, campaign_ids = self._budget(workspace), tuple(campaigns)
        if former and has_same_account:
            line = former.line
            line.reshape(budget, campaign_ids, now=self._now())
        else:
            if former:
                former.line.close()
            line = RequestQueue(
                budget,
                workspace=workspace.name,
                campaign_ids=campaign_ids,
                call=self._jobs.put,
            )
        return Workspace(
            config=config,
            plan=workspace_plan,
            client=self._clients[workspace.name],
            line=line,
            lanes=IdleSchedule(workspace_plan, self._idle_ids(workspace, kept)),
            campaigns=campaigns,
        )

    def _idle_ids(
        self, workspace: WorkspaceConfig, kept: KeptEntries
    ) -> tuple[str, ...]:
        """Return who is on the slow lane now, by what was last read of each."""
        found = []
        for campaign in workspace.campaigns:
            key = (workspace.name, campaign.id)
            entry, known = self._store.get(key), kept.get(key)
            former = known.snapshot if known else None
            if is_idle(campaign, entry.last_read if entry else former):
                found.append(campaign.id)
        return tuple(found)

    def _connect(self, config: Config, workspace: WorkspaceConfig) -> None:
        former = self._clients.get(workspace.name)
        client = Client(
            workspace,
            read_key=self._keys[workspace.name],
            egress=self._egress,
            response_bytes=config.limits.response_bytes,
            now=lambda: self._now() + self._clock_set_by(),
        )
        client.prepare()
        self._clients[workspace.name] = client
        self._jobs.open(workspace.name, concurrency=workspace.concurrency)
        if former is not None:
            former.retire()

    def _close(self, name: str) -> None:
        desk = self.desks.pop(name)
        desk.line.close()
        self._jobs.close(name)
        self._drop(name, desk.campaigns)
        self._clients.pop(name).retire()
        del self._keys[name], self._seen_keys[name]
        self._telemetry.forget(name)
        _log.info("workspace.removed", extra={"facts": {"workspace": name}})

    def _remove_campaigns(self, desk: Workspace, former: Workspace | None) -> None:
        if former is not None:
            gone = set(former.campaigns) - set(desk.campaigns)
            self._drop(desk.plan.workspace.name, gone)

    def _drop(
        self, workspace: str, campaign_ids: Mapping[str, object] | set[str]
    ) -> None:
        self._store.remove((workspace, campaign_id) for campaign_id in campaign_ids)
        for campaign_id in campaign_ids:
            self._jobs.drop(workspace, campaign_id)

    def _take_campaigns(
        self, desk: Workspace, former: Workspace | None, kept: KeptEntries
    ) -> tuple[CampaignConfig, ...]:
        """Show every campaign as it is called now; return those that are new."""
        name = desk.plan.workspace.name
        is_other_line = former is not None and former.line is not desk.line
        newcomers = []
        for campaign in desk.campaigns.values():
            key = (name, campaign.id)
            subject = campaign_metrics.ObjectLabels(
                name, campaign.name, campaign.id, campaign.labels
            )
            entry = self._store.get(key)
            if entry is None:
                newcomers.append(campaign)
                entry = _entry(subject, desk, kept.get(key), now=self._now())
                self._store.put(entry)
            elif entry.subject != subject or is_other_line:
                self._store.update(key, partial(_renamed, subject=subject, desk=desk))
        return tuple(newcomers)

    def _keep_on(self, desk: Workspace, former: Workspace) -> None:
        """Show changed intervals, and let a poll that is due sooner now come sooner."""
        name = desk.plan.workspace.name
        now = self._now()
        for campaign_id in desk.campaigns:
            interval = desk.lanes.interval_seconds(campaign_id)
            if _rhythm(former, campaign_id) in {None, _rhythm(desk, campaign_id)}:
                continue
            self._store.update(
                (name, campaign_id),
                partial(_with_interval, interval_seconds=interval, desk=desk),
            )
            planned = self._jobs.planned(name, campaign_id)
            slot = slots.next_slot(
                phase=slots.phase(campaign_id),
                interval_seconds=interval,
                after=now,
                clock_set_by=self._clock_set_by(),
            )
            if planned and not planned.tries and slot < planned.at:
                desk.line.book(planned._replace(due_at=slot, at=slot))

    def _begin(
        self,
        desk: Workspace,
        newcomers: tuple[CampaignConfig, ...],
        read_at: Mapping[ObjectKey, float],
    ) -> None:
        """Start the polls of new campaigns: at once, or at the next slot if read."""
        name = desk.plan.workspace.name
        now = self._now()
        due = []
        for campaign in newcomers:
            at = read_at.get((name, campaign.id))
            slot = now if at is None else self._slot(desk, campaign, at, now=now)
            if slot > now:
                desk.line.book(PendingPoll(name, campaign.id, due_at=slot, at=slot))
            else:
                due.append(campaign)
        apart = spacing(desk.plan.workspace.requests_per_minute)
        round_ = plan.first_round(tuple(due), now=now, spacing_seconds=apart)
        turns = tuple(
            PendingPoll(name, campaign_id, due_at)
            for campaign_id, due_at in round_
            # A newcomer may be the next probe of a paused line, which has called it.
            if not desk.line.is_called(campaign_id)
        )
        for turn in turns:
            self._jobs.drop(name, turn.campaign_id)
        desk.line.join(turns, now=now)

    def _slot(
        self, desk: Workspace, campaign: CampaignConfig, read_at: float, *, now: float
    ) -> float:
        return slots.slot_following(
            due_at=min(read_at, now),
            began_at=min(read_at, now),
            now=now,
            phase=slots.phase(campaign.id),
            interval_seconds=desk.lanes.interval_seconds(campaign.id),
            clock_set_by=self._clock_set_by(),
        )


def listed_campaigns(workspace: WorkspaceConfig) -> tuple[CampaignConfig, ...]:
    """Return the campaigns that the configuration names."""
    return workspace.campaigns


def _account(workspace: WorkspaceConfig) -> tuple[object, ...]:
    """Return by what Braze knows us there: another one has another allowance."""
    return (workspace.endpoint, workspace.key_source)


def _way(config: Config, workspace: WorkspaceConfig | None) -> tuple[object, ...]:
    """Return all that a client is made of."""
    if workspace is None:
        return ()
    return (
        *_account(workspace),
        workspace.timeout_seconds,
        workspace.proxy,
        workspace.ca_file,
        workspace.concurrency,
        config.limits.response_bytes,
    )


def _entry(
    subject: campaign_metrics.ObjectLabels,
    desk: Workspace,
    kept: Kept | None,
    *,
    now: float,
) -> Entry:
    """Return a campaign's first entry, with its kept values unless they are stale."""
    status = campaign_metrics.PollStatus(
        is_up=None,
        failure=None,
        interval_seconds=desk.lanes.interval_seconds(subject.campaign_id),
        last_success_at=None,
    )
    if kept is None:
        return Entry(subject, status, campaign_metrics.render_status(subject, status))
    read_at = min(kept.last_success_at, now)
    status = status._replace(
        is_up=kept.failure is None,
        failure=kept.failure,
        last_success_at=read_at,
    )
    entry = Entry(
        subject,
        status,
        campaign_metrics.render_status(subject, status),
        last_read=kept.snapshot,
    )
    lifetime = lifetime_seconds(desk.config, status.interval_seconds)
    expires_at = read_at + lifetime
    if expires_at <= now:
        return entry
    values = campaign_metrics.render_values(subject, kept.snapshot)
    return entry._replace(values=values, expires_at=expires_at)


def _renamed(
    entry: Entry, *, subject: campaign_metrics.ObjectLabels, desk: Workspace
) -> Entry:
    values = None
    if (snapshot := entry.snapshot) is not None:
        values = campaign_metrics.render_values(subject, snapshot)
    blocks = show_status(subject, entry.status, desk)
    return entry._replace(subject=subject, values=values, status_blocks=blocks)


def _with_interval(entry: Entry, *, interval_seconds: float, desk: Workspace) -> Entry:
    status = entry.status._replace(interval_seconds=interval_seconds)
    expires_at = entry.expires_at
    if status.last_success_at is not None and entry.values is not None:
        lifetime = lifetime_seconds(desk.config, interval_seconds)
        expires_at = status.last_success_at + lifetime
    blocks = show_status(entry.subject, status, desk)
    return entry._replace(status=status, status_blocks=blocks, expires_at=expires_at)


def _rhythm(desk: Workspace, campaign_id: str) -> tuple[float, float] | None:
    if campaign_id not in desk.campaigns:
        return None
    interval = desk.lanes.interval_seconds(campaign_id)
    return (interval, lifetime_seconds(desk.config, interval))


def _rates(one: plan.WorkspacePlan) -> tuple[object, ...]:
    """Return what of a plan the configuration alone decides."""
    found = one.workspace.discover is not None
    listed = () if found else one.workspace.campaigns
    return (one.ceiling_per_minute, one.workspace.interval_seconds, listed)


def _tell_plan(new: plan.WorkspacePlan, old: plan.WorkspacePlan | None) -> None:
    if old == new:
        return
    facts: dict[str, Fact] = {
        "workspace": new.workspace.name,
        "endpoint": new.workspace.endpoint,
        "campaigns": len(new.workspace.campaigns),
        "wanted_per_minute": new.wanted_per_minute,
        "planned_per_minute": new.planned_per_minute,
        "interval_seconds": new.interval_seconds,
    }
    # Not again for each campaign that is discovered: the gauges tell how much.
    is_as_configured = old is not None and _rates(old) == _rates(new)
    if not is_as_configured:
        _log.info("workspace.planned", extra={"facts": facts})
    is_news = old is None or old.stretch == 1 or not is_as_configured
    if new.stretch > 1 and is_news and (old is None or old.stretch != new.stretch):
        facts |= {
            "stretch": new.stretch,
            "ceiling_per_minute": new.ceiling_per_minute,
            "advice": "raise requests_per_minute or the intervals",
        }
        _log.warning("workspace.stretched", extra={"facts": facts})
