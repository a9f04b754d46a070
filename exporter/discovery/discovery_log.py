"""The log lines of the discovery of one kind in a workspace.

A failure is a warning when it begins or changes, and once an hour.
"""

from __future__ import annotations

import logging

from exporter.discovery.documents import Listed
from exporter.discovery.kinds import ListedKind
from exporter.discovery.rules import Criteria
from exporter.model.config import DiscoverRules, WorkspaceConfig
from exporter.model.errors import FailureReason, FetchError
from exporter.system.log_rate_limit import LINES_PER_MINUTE, LogRateLimit, is_news
from exporter.system.logformat import Fact

Fields = dict[str, Fact]

_log = logging.getLogger(__name__)


def request_fields(
    workspace: WorkspaceConfig, endpoint: str, failure: FetchError | None = None
) -> Fields:
    """Return the fields of a request, and of its failure."""
    fields: Fields = {
        "workspace": workspace.name,
        "endpoint": f"{workspace.endpoint}/{endpoint}",
    }
    if failure:
        fields |= {"reason": failure.reason, "status": failure.status}
        fields["error"] = str(failure)
    return fields


class DiscoveryLog:
    """Writes each fact once; one thread at a time may call it."""

    def __init__(self, kind: ListedKind) -> None:
        self._kind = kind
        self._failures: dict[str, tuple[FailureReason, float]] = {}
        """By endpoint: the reason of its last warning, and the time."""
        self._details_limit = LogRateLimit(LINES_PER_MINUTE)
        self._done_at: float | None = None
        self._is_limited = False
        self._is_extended = False

    def failed(
        self,
        workspace: WorkspaceConfig,
        endpoint: str,
        failure: FetchError,
        *,
        next_in_seconds: float,
        now: float,
    ) -> None:
        """Log a request that is repeated later."""
        is_new = is_news(failure.reason, self._failures.get(endpoint), now=now)
        if is_new:
            self._failures[endpoint] = (failure.reason, now)
        fields = request_fields(workspace, endpoint, failure)
        fields["next_in_seconds"] = round(next_in_seconds)
        level = logging.WARNING if is_new else logging.DEBUG
        _log.log(level, "discovery.failed", extra={"fields": fields})

    def succeeded(self, workspace: WorkspaceConfig, endpoint: str) -> None:
        """Log the end of a failure."""
        if self._failures.pop(endpoint, None):
            fields = request_fields(workspace, endpoint)
            _log.info("discovery.recovered", extra={"fields": fields})

    def passed_over(
        self,
        workspace: WorkspaceConfig,
        listed: Listed,
        failure: FetchError,
        *,
        now: float,
    ) -> None:
        """Log details that cannot be read; a few of them as warnings."""
        fields = request_fields(workspace, self._kind.details_path, failure)
        fields |= {
            self._kind.name: listed.name,
            self._kind.id_parameter: listed.id,
        }
        limit, self._details_limit = (
            self._details_limit,
            self._details_limit.counted(now=now),
        )
        level = logging.DEBUG
        if limit.admits(now=now):
            fields |= limit.facts(now=now)
            level = logging.WARNING
        _log.log(level, "discovery.passed_over", extra={"fields": fields})

    def done(
        self,
        workspace: WorkspaceConfig,
        *,
        listed_at: float | None,
        found: int,
        in_the_list: int,
    ) -> None:
        """Log the end of a round, once per list and not for details of later days."""
        if self._done_at == listed_at:
            return
        self._done_at = listed_at
        fields: Fields = {
            "workspace": workspace.name,
            self._kind.plural: found,
            "in_the_list": in_the_list,
        }
        _log.info("discovery.done", extra={"fields": fields})

    def selected(
        self, workspace: WorkspaceConfig, settings: DiscoverRules, *, is_limited: bool
    ) -> None:
        """Log that the maximum leaves objects out."""
        if is_limited and not self._is_limited:
            fields: Fields = {
                "workspace": workspace.name,
                f"max_{self._kind.plural}": settings.most,
                "advice": f"raise {self._kind.max_option}, or narrow the selection",
            }
            _log.warning("discovery.limited", extra={"fields": fields})
        self._is_limited = is_limited

    def settled(self, workspace: WorkspaceConfig, criteria: Criteria) -> None:
        """Log that the ceiling is too low for the time since the last activity."""
        option = self._kind.activity
        within = criteria.settings.active_within_seconds
        is_extended = within is not None and criteria.active_within_seconds > within
        if is_extended and not self._is_extended:
            fields: Fields = {
                "workspace": workspace.name,
                f"{option}_seconds": within,
                "in_force_seconds": round(criteria.active_within_seconds),
                "details_interval_seconds": round(criteria.details_interval_seconds),
                "advice": f"raise shared_requests_per_minute, or {option}",
            }
            _log.warning("discovery.extended", extra={"fields": fields})
        self._is_extended = is_extended
