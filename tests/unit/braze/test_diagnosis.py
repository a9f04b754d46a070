"""What a failure means, and what there is to do about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from exporter.braze.diagnosis import (
    CLOCK,
    DATA_SERIES,
    DETAILS,
    KEY,
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
from exporter.braze.hosts import REST_HOSTS
from exporter.model.config import KeySource
from exporter.model.errors import FailureReason, FetchError

from tests.unit.discovery.test_rules import workspace

SHOP = workspace()
HOST = "https://rest.iad-01.braze.com"


def failed(
    reason: FailureReason,
    message: str = "no",
    *,
    status: int | None = None,
    said: str = "",
    permission: str = DATA_SERIES,
    is_made_up: bool = False,
) -> Check:
    """Return what a failure means."""
    return check_failure(
        permission,
        FetchError(message, reason=reason, status=status, said=said),
        workspace=SHOP,
        is_made_up=is_made_up,
    )


def test_permissions_are_those_that_are_needed() -> None:
    """Data series always; the others where discovery asks for them."""
    assert permissions(replace(SHOP, discover=None)) == (DATA_SERIES,)
    assert permissions(SHOP) == (DATA_SERIES, LIST, DETAILS)
    assert permissions(workspace(include_drafts=True)) == (DATA_SERIES, LIST)


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
def test_a_key_is_judged_without_a_word_of_it(key: str | None, problem: str) -> None:
    """The message says where it is; the advice what to do."""
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
        (FailureReason.UNAUTHORIZED, "no", "key_or_host"),
        (FailureReason.FORBIDDEN, "no", "forbidden"),
        (FailureReason.RATE_LIMITED, "no", "rate_limited"),
        (FailureReason.BAD_REQUEST, "no", "refused"),
        (FailureReason.NOT_FOUND, "no", "wrong_endpoint"),
        (FailureReason.REDIRECT, "no", "redirect"),
        (FailureReason.SERVER_ERROR, "no", "server_error"),
        (FailureReason.TOO_LARGE, "no", "too_large"),
        (FailureReason.MALFORMED, "no", "malformed"),
        (FailureReason.TIMEOUT, f"{HOST}: no connection in time", "timeout"),
        (FailureReason.TIMEOUT, f"{HOST} through the proxy p:1: no", "proxy"),
        (FailureReason.CONNECTION, f"{HOST}: connection refused", "connection"),
        (FailureReason.CONNECTION, f"{HOST}: name not found", "dns"),
        (FailureReason.CONNECTION, f"{HOST}: name look-up failed: x", "dns"),
        (FailureReason.CONNECTION, f"{HOST}: certificate not trusted: x", "tls"),
        (FailureReason.CONNECTION, f"{HOST}: TLS failed: x", "tls"),
        (FailureReason.CONNECTION, f"{HOST}: connection closed within TLS", "tls"),
        (
            FailureReason.CONNECTION,
            f"{HOST} through the proxy p:1: the proxy refuses the tunnel with 407",
            "proxy",
        ),
        (
            FailureReason.CONNECTION,
            f"{HOST} through the proxy p:1: name not found",
            "proxy",
        ),
        (
            FailureReason.CONNECTION,
            f"{HOST} through the proxy p:1: certificate not trusted: x",
            "tls",
        ),
    ],
)
def test_every_failure_has_a_code_and_an_advice(
    reason: FailureReason, message: str, problem: str
) -> None:
    """The message is the failure's own."""
    check = failed(reason, message)

    assert (check.is_ok, check.problem, check.message) == (False, problem, message)
    assert check.advice.endswith((".", "?"))


def test_who_speaks_no_tls_needs_no_certificate() -> None:
    """A port of plain HTTP, or a proxy whose URL says https."""
    plain = failed(
        FailureReason.CONNECTION, f"{HOST}: TLS failed: wrong version number"
    )

    assert plain.problem == "tls"
    assert "speaks no TLS" in plain.advice
    assert "ca_file" not in plain.advice


def test_after_401_all_hosts_are_named() -> None:
    """A good key at a wrong host gets it too."""
    advice = failed(FailureReason.UNAUTHORIZED).advice

    assert all(host in advice for host in REST_HOSTS)
    assert "quotes" in advice


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("Invalid permissions", "permission_missing"),
        ("This API key lacks campaigns.data_series", "permission_missing"),
        ("Your IP is not allowed", "ip_not_allowed"),
        ("not in allowlist", "ip_not_allowed"),
        ("Forbidden", "forbidden"),
    ],
)
def test_after_403_a_new_key_is_advised(said: str, problem: str) -> None:
    """With all permissions: keys cannot be amended."""
    check = failed(FailureReason.FORBIDDEN, status=403, said=said)

    assert check.problem == problem
    assert "make a new key" in check.advice
    assert all(one in check.advice for one in (DATA_SERIES, LIST, DETAILS))
    assert ("IP allowlist" in check.advice.split("Permissions")[0]) is (
        problem != "permission_missing"
    )


def test_a_refused_campaign_is_a_good_sign_if_it_was_made_up() -> None:
    """And the reason to look at its id if it was not."""
    refused = FailureReason.BAD_REQUEST

    made_up = failed(refused, status=400, said="Invalid Campaign ID", is_made_up=True)
    configured = failed(refused, status=400)
    listed = failed(refused, status=400, permission=LIST)

    assert made_up.is_ok
    assert configured.problem == "campaign_refused"
    assert listed.problem == "refused"


@pytest.mark.parametrize(
    ("permission", "status", "said"),
    [(LIST, 400, "no"), (DATA_SERIES, 400, ""), (DATA_SERIES, 405, "no")],
)
def test_not_every_refusal_is_a_good_sign(
    permission: str, status: int, said: str
) -> None:
    """To the list no id is sent; a gateway's 400 has no words, Braze's no 405."""
    check = failed(
        FailureReason.BAD_REQUEST,
        status=status,
        said=said,
        permission=permission,
        is_made_up=True,
    )

    assert check.problem == "refused"


@pytest.mark.parametrize(
    ("permission", "document", "is_ok"),
    [
        (DATA_SERIES, {"data": []}, True),
        (DATA_SERIES, {"data": None}, False),
        (DATA_SERIES, [], False),
        (LIST, {"campaigns": []}, True),
        (LIST, {}, False),
        (DETAILS, {"message": "success"}, True),
        (DETAILS, {"message": "no"}, False),
        (DETAILS, 3, False),
    ],
)
def test_an_answer_is_looked_at(
    permission: str, document: object, *, is_ok: bool
) -> None:
    """Somebody else may answer 200 to anything."""
    check = check_answer(permission, document, seconds=0.5)

    assert check.is_ok is is_ok
    assert check.problem == ("" if is_ok else "malformed")


@pytest.mark.parametrize(
    ("ahead", "is_ok", "told"),
    [
        (None, None, "not compared"),
        (0.0, True, "right"),
        (-30.0, True, "right"),
        (31.0, False, "31 s behind"),
        (-7200.0, False, "7200 s ahead of"),
    ],
)
def test_clocks_may_differ_by_half_a_minute(
    ahead: float | None, *, is_ok: bool | None, told: str
) -> None:
    """More spoils limits and days."""
    check = check_clock(ahead)

    assert check.is_ok is is_ok
    assert told in check.message
    assert check.problem == ("clock_skew" if is_ok is False else "")


def test_one_question_may_tell_of_all() -> None:
    """A wrong key, or nobody there; but not a permission."""
    assert is_telling_of_all(failed(FailureReason.UNAUTHORIZED))
    assert is_telling_of_all(failed(FailureReason.CONNECTION))
    assert not is_telling_of_all(failed(FailureReason.FORBIDDEN))
    assert skipped(LIST).is_ok is None


def test_who_is_let_in_lacks_the_permission() -> None:
    """If another question was answered it is not the machine's address."""
    answered = check_answer(LIST, {"campaigns": []}, seconds=0)
    forbidden = failed(FailureReason.FORBIDDEN)
    key, clock = Check(KEY, is_ok=True), Check(CLOCK, is_ok=True)

    told = reconsidered([clock, answered, forbidden, key], workspace=SHOP)
    alone = reconsidered([forbidden, key, clock], workspace=SHOP)

    assert [check.name for check in told] == [KEY, DATA_SERIES, LIST, CLOCK]
    assert told[1].problem == "permission_missing"
    assert "This machine is let in" in told[1].advice
    assert "Either" not in told[1].advice
    assert "make a new key" in told[1].advice
    assert alone[1].problem == "forbidden"
    assert "Either" in alone[1].advice
