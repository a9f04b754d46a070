"""`braze-exporter doctor`: what is wrong with keys, hosts and permissions."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from exporter.braze.client import Client
from exporter.braze.diagnosis import (
    DATA_SERIES,
    DETAILS,
    LIST,
    Check,
    check_answer,
    check_clock,
    check_failure,
    check_key,
    is_telling_of_all,
    permissions,
    reconsidered,
    skipped,
)
from exporter.braze.responses import BrazeResponse
from exporter.commands.flags import Flag
from exporter.commands.target import ACCESS, TargetParser, access, client
from exporter.model.config import WorkspaceConfig
from exporter.model.errors import FetchError
from exporter.system.api_key import read_key
from exporter.system.clock import Clock

_DESCRIPTION = """\
Ask Braze one cheap question for each workspace and permission it needs, and say what is
wrong and what to do: the key, the host, a permission, the IP allowlist, the clock, DNS,
TLS or a proxy. Data series are always asked for, list and details where discovery is
configured. Exit 0 if all is well, 1 if anything is wrong. It never shows a key."""

_OUTPUT = Flag("output", "How to tell it.", default="text", choices=("text", "json"))
_FLAGS = (*ACCESS, _OUTPUT)

_AT_ONCE = 8
_MADE_UP = "00000000-0000-4000-8000-000000000000"
_VERSION = 1
_SIGNS = {True: "ok", False: "WRONG", None: "-"}
_WIDTH = 88


@dataclass(frozen=True, slots=True)
class _Report:
    """What was found in one workspace."""

    workspace: WorkspaceConfig
    checks: tuple[Check, ...]

    @property
    def is_healthy(self) -> bool:
        return all(check.is_ok is not False for check in self.checks)


class _Examination:
    """The questions to one workspace, one after the other."""

    def __init__(self, workspace: WorkspaceConfig, braze: Client, clock: Clock) -> None:
        self._workspace = workspace
        self._client = braze
        self._clock = clock
        self._ids = [campaign.id for campaign in workspace.campaigns[:1]]
        self._ahead_seconds: float | None = None

    def checks(self) -> Iterator[Check]:
        """Ask, as long as the answer is not plain already."""
        is_plain = False
        wanted = permissions(self._workspace)
        if not self._ids:  # the list names one to ask for
            wanted = tuple(sorted(wanted, key=lambda one: one != LIST))
        for permission in wanted:
            check = skipped(permission) if is_plain else self._check(permission)
            is_plain = is_plain or is_telling_of_all(check)
            yield check
        yield check_clock(self._ahead_seconds)

    def _check(self, permission: str) -> Check:
        is_made_up = not self._ids
        campaign_id = self._ids[0] if self._ids else _MADE_UP
        parameters: dict[str, dict[str, str | int]] = {
            DATA_SERIES: {"campaign_id": campaign_id, "length": 1},
            LIST: {"page": 0},
            DETAILS: {"campaign_id": campaign_id},
        }
        path = permission.replace(".", "/")
        began_at = self._clock.now()
        try:
            answer = self._client.fetch(path, parameters[permission])
        except FetchError as failure:
            self._compare(failure, began_at)
            return check_failure(
                permission,
                failure,
                workspace=self._workspace,
                is_made_up=is_made_up,
            )
        self._compare(answer, began_at)
        if permission == LIST and is_made_up:
            self._ids = _ids(answer.document)[:1]
        seconds = self._clock.now() - began_at
        return check_answer(permission, answer.document, seconds=seconds)

    def _compare(self, answer: BrazeResponse | FetchError, began_at: float) -> None:
        """Compare the clocks. `Date` is told in whole seconds, cut."""
        if answer.answered_at is not None:
            between = (began_at + self._clock.now()) / 2
            self._ahead_seconds = answer.answered_at + 0.5 - between


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Examine every workspace and tell what was found."""
    parser = TargetParser(
        _FLAGS, program="braze-exporter doctor", description=_DESCRIPTION
    )
    options = parser.parse(arguments, environment)
    found = access(parser, options, arguments, environment, judges_keys=False)
    for warning in found.warnings:
        print(warning, file=sys.stderr)
    examine = partial(
        _examined,
        environment=environment,
        response_bytes=found.config.limits.response_bytes,
    )
    workspaces = found.config.workspaces
    if found.is_direct:  # nothing asks for more than data series then
        workspaces = tuple(replace(one, discover=None) for one in workspaces)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        reports = tuple(pool.map(examine, workspaces))
    tell = _as_json if options.output == "json" else _as_text
    print(tell(reports))
    return 0 if all(report.is_healthy for report in reports) else 1


def _examined(
    workspace: WorkspaceConfig,
    *,
    environment: Mapping[str, str],
    response_bytes: int,
) -> _Report:
    key = check_key(workspace.key_source, read_key(workspace.key_source, environment))
    if not key.is_ok:
        unasked = tuple(map(skipped, permissions(workspace)))
        return _Report(workspace, (key, *unasked, check_clock(None)))
    clock = Clock()
    braze = client(workspace, environment, response_bytes=response_bytes, clock=clock)
    try:
        checks = tuple(_Examination(workspace, braze, clock).checks())
    finally:
        braze.close()
    return _Report(workspace, (key, *reconsidered(checks, workspace=workspace)))


def _ids(document: object) -> list[str]:
    entries = document.get("campaigns") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return []
    ids = (entry.get("id") for entry in entries if isinstance(entry, dict))
    return [id_ for id_ in ids if isinstance(id_, str) and id_.isprintable()]


def _as_json(reports: Sequence[_Report]) -> str:
    document = {
        "version": _VERSION,
        "healthy": all(report.is_healthy for report in reports),
        "workspaces": [
            {
                "name": report.workspace.name,
                "endpoint": report.workspace.endpoint,
                "key": str(report.workspace.key_source),
                "healthy": report.is_healthy,
                "checks": [
                    {
                        "check": check.name,
                        "ok": check.is_ok,
                        "problem": check.problem or None,
                        "message": check.message,
                        "advice": check.advice or None,
                        "status": check.status,
                        "seconds": check.seconds,
                    }
                    for check in report.checks
                ],
            }
            for report in reports
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=2)


def _as_text(reports: Sequence[_Report]) -> str:
    lines = [line for report in reports for line in _told(report)]
    problems = sum(
        check.is_ok is False for report in reports for check in report.checks
    )
    verdict = "All is well."
    if problems:
        verdict = f"{problems} problem{'' if problems == 1 else 's'}."
    return "\n".join((*lines, verdict))


def _told(report: _Report) -> Iterator[str]:
    workspace = report.workspace
    yield f"workspace {workspace.name} at {workspace.endpoint}"
    given: set[str] = set()
    for check in report.checks:
        took = ""
        if check.is_ok and check.status and check.seconds is not None:
            took = f" in {check.seconds:.2f} s"
        sign = _SIGNS[check.is_ok]
        yield from _wrapped(f"  {sign:<6} {check.name:<22} ", check.message + took)
        if check.advice:
            told = "as above" if check.advice in given else check.advice
            given.add(check.advice)
            yield from _wrapped("         what to do: ", told)
    yield ""


def _wrapped(first: str, text: str) -> Sequence[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * 11,
        break_long_words=False,
        break_on_hyphens=False,
    )
