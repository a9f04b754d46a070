"""Codes and advice for every failure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from exporter.braze.diagnosis import (
    CAMPAIGNS,
    CANVASES,
    CLOCK,
    KEY,
    Check,
    affects_all,
    check_clock,
    check_failure,
    check_key,
    check_response,
    permissions,
    resolve_forbidden,
    skipped,
)
from exporter.braze.hosts import REST_HOSTS
from exporter.discovery.kinds import CANVAS
from exporter.model.config import KeySource
from exporter.model.errors import FailureReason, FetchError

from tests.unit.discovery.discovery_world import workspace

SHOP = workspace()
DATA_SERIES, LIST, DETAILS = CAMPAIGNS.all
HOST = "https://rest.iad-01.braze.com"
AFFECT_ALL = ["key_or_host", "redirect", "dns", "tls", "proxy", "connection", "timeout"]
NO_TLS = "wrong version number"
PROXY = f"{HOST} through the proxy p:1"


def failed(
    reason: str,
    message: str = "no",
    *,
    status: int | None = None,
    detail: str = "",
    permission: str = DATA_SERIES,
    is_placeholder_id: bool = False,
) -> Check:
    """Return the check of a failed request."""
    failure = FetchError(
        message, reason=FailureReason(reason), status=status, detail=detail
    )
    return check_failure(
        permission,
        failure,
        workspace=SHOP,
        is_placeholder_id=is_placeholder_id,
        now=0.0,
    )


def test_the_needed_permissions() -> None:
    """Of each kind that is configured; by flags no kind is."""
    listed = [{"id": "a", "name": "A"}]
    canvases = workspace(listed, kind=CANVAS)

    assert permissions(replace(SHOP, discover=None)) == (DATA_SERIES,)
    assert permissions(SHOP) == (DATA_SERIES, LIST, DETAILS)
    assert permissions(workspace(include_drafts=True)) == (DATA_SERIES, LIST)
    assert permissions(canvases) == CANVASES.all
    assert permissions(replace(canvases, discover=None)) == ("canvas.data_series",)
    both = replace(canvases, campaigns=canvases.canvases)
    assert permissions(both) == (DATA_SERIES, *CANVASES.all)
    drafts = workspace(kind=CANVAS, include_drafts=True, include_stopped=True)
    assert permissions(drafts) == ("canvas.data_series", "canvas.list")


@pytest.mark.parametrize("is_placeholder_id", [False, True])
@pytest.mark.parametrize(
    ("permission", "detail", "problem"),
    [
        ("canvas.data_series", "ending_at must not be in the future", "clock_ahead"),
        ("canvas.data_series", "Ending_At is invalid", "clock_ahead"),
        ("canvas.data_series", "Invalid Canvas ID", "canvas_refused"),
        ("canvas.details", "ending_at", "canvas_refused"),
        ("segments.data_series", "Invalid Segment ID", "segment_refused"),
        ("events.data_series", "Invalid event", "event_refused"),
        ("campaigns.data_series", "ending_at", "campaign_refused"),
    ],
)
def test_days_that_end_in_the_future_name_the_clock(
    permission: str, detail: str, problem: str, *, is_placeholder_id: bool
) -> None:
    """For any id; another refusal of a placeholder id is expected."""
    check = failed(
        "bad_request",
        status=400,
        detail=detail,
        permission=permission,
        is_placeholder_id=is_placeholder_id,
    )

    is_expected = is_placeholder_id and problem != "clock_ahead"
    assert check.problem == ("" if is_expected else problem)
    if problem == "clock_ahead":
        assert "clock shows 1970-01-01 00:00 UTC" in check.advice


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (None, "key_missing"),
        ("", "key_empty"),
        ('"hunter2"', "key_quoted"),
        ("'hunter2'", "key_quoted"),
        ('"hunter2', "key_quoted"),
        ("\u201chunter2\u201d", "key_quoted"),
        ("hunter2\u2019", "key_quoted"),
        ("hunter 2", "key_unsendable"),
        ("hunter2\n", "key_unsendable"),
        ("hünter2", "key_unsendable"),
        ("hunter2", ""),
    ],
)
def test_a_key_is_checked_and_never_shown(key: str | None, problem: str) -> None:
    for source in (KeySource(env="KEY"), KeySource(file="k")):
        check = check_key(source, key)

        assert check.problem == problem
        assert check.is_ok is (not problem)
        assert bool(check.advice) is bool(problem)
        assert str(source) in check.message
        assert "nter" not in repr(check)


@pytest.mark.parametrize(
    ("reason", "message", "problem"),
    [
        ("unauthorized", "no", "key_or_host"),
        ("forbidden", "no", "forbidden"),
        ("rate_limited", "no", "rate_limited"),
        ("bad_request", "no", "refused"),
        ("not_found", "no", "wrong_endpoint"),
        ("redirect", "no", "redirect"),
        ("server_error", "no", "server_error"),
        ("too_large", "no", "too_large"),
        ("malformed", "no", "malformed"),
        ("timeout", f"{HOST}: no connection in time", "timeout"),
        ("timeout", f"{PROXY}: no", "proxy"),
        ("connection", f"{HOST}: connection refused", "connection"),
        ("connection", f"{HOST}: name not found", "dns"),
        ("connection", f"{HOST}: name look-up failed: x", "dns"),
        ("connection", f"{HOST}: certificate not trusted: x", "tls"),
        ("connection", f"{HOST}: TLS failed: x", "tls"),
        ("connection", f"{HOST}: connection closed within TLS", "tls"),
        ("connection", f"{PROXY}: the proxy refuses the tunnel with 407", "proxy"),
        ("connection", f"{PROXY}: name not found", "proxy"),
        ("connection", f"{PROXY}: certificate not trusted: x", "tls"),
    ],
)
def test_every_failure_has_a_code_and_advice(
    reason: str, message: str, problem: str
) -> None:
    check = failed(reason, message)

    assert (check.is_ok, check.problem, check.message) == (False, problem, message)
    assert affects_all(check) is (problem in AFFECT_ALL)
    assert check.advice.endswith((".", "?"))


@pytest.mark.parametrize(
    ("check", "texts"),
    [
        (failed("connection", f"{HOST}: TLS failed: {NO_TLS}"), ["is not TLS"]),
        (failed("unauthorized"), ["without quotes", *REST_HOSTS]),
    ],
)
def test_the_advice_contains_what_to_check(check: Check, texts: list[str]) -> None:
    assert all(text in check.advice for text in texts)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("Invalid permissions", "permission_missing"),
        ("This API key lacks campaigns.data_series", "permission_missing"),
        ("Your IP is not allowed", "ip_not_allowed"),
        ("not in allowlist", "ip_not_allowed"),
        ("Forbidden", "forbidden"),
    ],
)
def test_the_advice_after_403_is_a_new_key(message: str, problem: str) -> None:
    check = failed("forbidden", status=403, detail=message)

    assert check.problem == problem
    assert "create a new key" in check.advice
    assert all(one in check.advice for one in (DATA_SERIES, LIST, DETAILS))
    assert ("IP allowlist" in check.advice.split("Braze fixes")[0]) is (
        problem != "permission_missing"
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"detail": "Invalid Campaign ID", "is_placeholder_id": True}, ""),
        ({"detail": "Invalid Campaign ID"}, "campaign_refused"),
        ({"permission": LIST, "detail": "no"}, "refused"),
        ({"permission": "kpi.mau.data_series", "detail": "no"}, "refused"),
        # The list has no id, a gateway's 400 has no message, Braze does not send 405.
        ({"permission": LIST, "detail": "no", "is_placeholder_id": True}, "refused"),
        ({"is_placeholder_id": True}, "refused"),
        ({"detail": "no", "is_placeholder_id": True, "status": 405}, "refused"),
    ],
)
def test_only_the_refusal_of_a_placeholder_id_is_expected(
    options: dict[str, Any], problem: str
) -> None:
    check = failed("bad_request", **{"status": 400, **options})

    assert check.problem == problem
    assert check.is_ok is (not problem)


@pytest.mark.parametrize(
    ("permission", "document", "is_ok"),
    [
        (DATA_SERIES, {"data": []}, True),
        (DATA_SERIES, {"data": None}, False),
        (DATA_SERIES, [], False),
        (CANVASES.data_series, {"data": {"stats": []}}, True),
        (CANVASES.data_series, {"data": None, "message": "success"}, True),
        (CANVASES.data_series, {"data": []}, True),
        (CANVASES.data_series, {"message": "success"}, False),
        (CANVASES.data_series, {"data": "no"}, False),
        ("kpi.dau.data_series", {"data": [], "message": "success"}, True),
        ("kpi.dau.data_series", {"message": "success"}, False),
        ("messages.schedule_broadcasts", {"scheduled_broadcasts": []}, True),
        ("messages.schedule_broadcasts", {"data": []}, False),
        ("cdi.integration_list", {"results": [], "message": "success"}, True),
        ("cdi.integration_list", {"results": {}}, False),
        (LIST, {"campaigns": []}, True),
        (LIST, {}, False),
        (DETAILS, {"message": "success"}, True),
        (DETAILS, {"message": "no"}, False),
        (DETAILS, 3, False),
    ],
)
def test_the_body_of_a_response_is_checked(
    permission: str, document: object, *, is_ok: bool
) -> None:
    check = check_response(permission, document, seconds=0.5)

    assert check.is_ok is is_ok
    assert check.problem == ("" if is_ok else "malformed")


@pytest.mark.parametrize(
    ("ahead", "is_ok", "message"),
    [
        (None, None, "not compared"),
        (0.0, True, "right"),
        (-30.0, True, "right"),
        (31.0, False, "31 s behind"),
        (-7200.0, False, "7200 s ahead of"),
    ],
)
def test_clocks_may_differ_by_half_a_minute(
    ahead: float | None, *, is_ok: bool | None, message: str
) -> None:
    check = check_clock(ahead)

    assert check.is_ok is is_ok
    assert message in check.message
    assert check.problem == ("clock_skew" if is_ok is False else "")


def test_a_403_beside_a_good_response_is_a_missing_permission() -> None:
    good = check_response(LIST, {"campaigns": []}, seconds=0)
    forbidden = failed("forbidden")
    key, clock = Check(KEY, is_ok=True), Check(CLOCK, is_ok=True)

    resolved = resolve_forbidden([clock, good, forbidden, key], workspace=SHOP)
    alone = resolve_forbidden([skipped(LIST), forbidden, key, clock], workspace=SHOP)

    assert [check.name for check in resolved] == [KEY, DATA_SERIES, LIST, CLOCK]
    assert resolved[1].problem == "permission_missing"
    assert "Other requests from this machine are allowed" in resolved[1].advice
    assert "Unless" not in resolved[1].advice
    assert "create a new key" in resolved[1].advice
    assert alone[1].problem == "forbidden"
    assert "Unless" in alone[1].advice
    assert alone[2].is_ok is None


@pytest.mark.parametrize("reason", list(FailureReason))
def test_every_reason_has_advice(reason: FailureReason) -> None:
    failure = FetchError("no document", reason=reason, status=None)

    check = check_failure(
        DATA_SERIES, failure, workspace=workspace(), is_placeholder_id=True, now=0.0
    )

    assert check.advice
