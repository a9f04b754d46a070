"""Interpretation of headers and bodies, including malicious ones."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from exporter.braze.responses import (
    Body,
    answered_at_of,
    document_of,
    message_of,
    next_cursor_of,
    rate_limit_of,
    refusal,
    retry_after_seconds_of,
)
from exporter.model import errors
from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.system.api_key import Secret
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bodies import REQUEST
from tests.support.braze_client import KEY, NOW


def refused(
    status: int, *, message: str = "", headers: dict[str, str] | None = None
) -> errors.FetchError:
    """Return the failure of a response with this status."""
    return refusal(
        REQUEST, status=status, headers=headers or {}, message=message, now=NOW
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [(" 0 ", 0), ("1790000060", 1790000060)]
    + [
        (text, None)
        for text in ("", "many", "-1", "+1", "1.5", "1e3", "5, 5", "²", "٣", "1_0")
    ]
    + [("9" * 400, None)],
)
def test_rate_limit_headers_are_plain_integers(text: str, count: int | None) -> None:
    names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")

    found = rate_limit_of(dict.fromkeys(names, text))

    assert found == RateLimitHeaders(count, count, count)


@pytest.fixture
def zone_of_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set another time zone than UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "EST5EDT,M3.2.0,M11.1.0")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120\t", 120.0),
        ("1.5", 1.5),
        ("86400", 3600.0),
        ("9" * 400, 3600.0),
        ("Mon, 21 Sep 2026 14:14:20 GMT", 60.0),
        ("Monday, 21-Sep-26 14:14:20 GMT", 60.0),
        ("Mon Sep 21 14:14:20 2026", 60.0),
        ("Mon, 21 Sep 2026 14:14:20 -0000", 60.0),
        ("Mon, 21 Sep 2020 14:14:20 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("", None),
        ("-5", None),
        ("-1.5", None),
        ("1e3", None),
        ("soon", None),
        ("Mon, 99 Sep 2026 99:99:99 GMT", None),
        ("1 Jan 0 0:0:0 -9999", None),
    ],
)
@pytest.mark.usefixtures("zone_of_new_york")
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    found = retry_after_seconds_of({"Retry-After": text}, now=NOW)

    assert found == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("link", "cursor"),
    [
        ("", ""),
        ('</cdi/integrations?cursor=c2tpcDow>; rel="prev"', ""),
        (
            '</a?cursor=x>; rel="prev",</a?cursor=c2tpcDoxMDA=>; rel="next"',
            "c2tpcDoxMDA=",
        ),
        ("</a?cursor=a+b%2Fc&page=3>; rel=next", "a+b/c"),
        ('<https://elsewhere.example/b?cursor=x>; title="a, b"; REL="last Next"', "x"),
        ('</a?page=2>; rel="next"', ""),
        ('<http://[/?cursor=x>; rel="next"', ""),
        ('</a?cursor=x>; title="rel=next"', ""),
        ("rel=next", ""),
    ],
)
def test_the_cursor_of_the_next_page_is_all_that_is_used_of_a_link(
    link: str, cursor: str
) -> None:
    assert next_cursor_of({"Link": link}) == cursor


@given(st.text())
def test_no_header_text_raises(text: str) -> None:
    headers = {"Retry-After": text, "X-RateLimit-Limit": text, "Location": text}
    next_cursor_of({"Link": text})
    next_cursor_of({"Link": f"<{text}>; rel=next"})
    rate_limit_of(headers)
    retry_after_seconds_of(headers, now=NOW)

    assert refused(302, headers=headers).reason is FailureReason.REDIRECT


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "the body is empty"),
        (b"<html>", "not JSON: Expecting value at character 0"),
        (b'{"a": 1} x', "not JSON: Extra data at character 9"),
        (b'"\n"', "not JSON: Invalid control character at character 1"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        # A very long integer is decoded by json.
        (b"[1" + b"0" * 5000 + b", }", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_a_body_that_is_not_json_is_malformed(body: bytes, text: str) -> None:
    """The failure has the mistake and the rate limit, and no reference to the body."""
    with pytest.raises(errors.Unavailable, match=text) as caught:
        Body(REQUEST, {"X-RateLimit-Remaining": "7"}, body).document()

    assert caught.value.reason is FailureReason.MALFORMED
    assert caught.value.status == 200
    assert caught.value.rate_limit == RateLimitHeaders(remaining=7)
    assert caught.value.__cause__ is not None
    assert caught.value.__cause__.__context__ is None


@pytest.mark.parametrize(
    "written",
    [
        KEY,
        KEY.upper(),
        f"Bearer {KEY}",
        KEY.replace("1", r"\u0031"),
        KEY.replace("a", r"\u0061", 1),
        KEY.replace("c", r"\u0043"),
        rf"\\{KEY}",
    ],
)
@pytest.mark.parametrize("body", ['{{"data": [{{"{}": 1}}]}}', '["{}"]', "{}"])
def test_a_body_that_contains_the_key_is_malformed(written: str, body: str) -> None:
    """Its strings would become labels; JSON may escape the key."""
    with pytest.raises(errors.Unavailable, match="contains the API key") as caught:
        Body(REQUEST, {}, body.format(written).encode())

    assert caught.value.reason is FailureReason.MALFORMED
    assert KEY not in str(caught.value).lower()


@pytest.mark.parametrize(
    ("key", "body", "is_found"),
    [
        ("a/slash/ed", r'"a\/slash\/ed"', True),
        ('"back\\slash', r'{"name": "\"back\\slash"}', True),
        # A very short key is not searched: nearly every body contains `data`.
        ("data", '{"data": []}', False),
    ],
)
def test_an_escaped_key_is_found(key: str, body: str, *, is_found: bool) -> None:
    """A key may consist of any printable characters."""
    assert REQUEST._replace(key=Secret(key)).secret_in(body.encode()) == (
        "the API key" if is_found else ""
    )


LONG = "1" + "0" * 5000


@pytest.mark.parametrize("other", ["1", "NaN"], ids=["orjson", "json"])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, text) for text in ("NaN", "-Infinity", "1e999", LONG, f"-{LONG}")),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2.0**64),
        ("-9223372036854775808", -(2**63)),
        ("-9223372036854775809", -(2.0**63)),
        ("1" + "0" * 308, 1e308),
        ("0.1", 0.1),
        ("-1", -1),
        ('"\\ud800"', "\ud800"),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "replace").decode(),
)
def test_numbers_without_a_double_are_strings(
    text: str, value: float | str, other: str
) -> None:
    """Integers beyond 64 bits are doubles; a byte order mark is ignored."""
    found = document_of(f"\ufeff[{text}, {other}]".encode())

    assert isinstance(found, list)
    assert (found[0], type(found[0])) == (value, type(value))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.booleans())
def test_both_decoders_return_the_document(document: object, is_ascii: bool) -> None:
    for whole in (document, [document, math.nan]):
        found = document_of(json.dumps(whole, ensure_ascii=is_ascii).encode())
        assert found == (document if whole is document else [document, "NaN"])


@given(st.binary())
def test_no_body_raises_anything_else(body: bytes) -> None:
    with suppress(errors.Unavailable):
        Body(REQUEST, {}, body).document()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message": "Invalid Campaign ID"}', "Invalid Campaign ID"),
        (b'{"message": 5}', ""),
        (b'["message"]', ""),
        (b"<html>no</html>", ""),
        (b"", ""),
    ],
)
def test_the_message_of_an_error_response(body: bytes, message: str) -> None:
    assert message_of(body) == message


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (101, errors.Unavailable, FailureReason.MALFORMED),
        (204, errors.Unavailable, FailureReason.MALFORMED),
        (301, errors.Unusable, FailureReason.REDIRECT),
        (304, errors.Unusable, FailureReason.REDIRECT),
        (400, errors.ObjectRefused, FailureReason.BAD_REQUEST),
        (401, errors.KeyRefused, FailureReason.UNAUTHORIZED),
        (403, errors.KeyRefused, FailureReason.FORBIDDEN),
        (404, errors.ObjectRefused, FailureReason.NOT_FOUND),
        (429, errors.Throttled, FailureReason.RATE_LIMITED),
        (500, errors.Unavailable, FailureReason.SERVER_ERROR),
        *(
            (status, errors.Unavailable, FailureReason.SERVER_ERROR)
            for status in (408, 421, 425, 460, 499)
        ),
        (599, errors.Unavailable, FailureReason.SERVER_ERROR),
        (799, errors.Unavailable, FailureReason.MALFORMED),
    ],
)
def test_every_status_has_its_failure(
    status: int, kind: type[errors.FetchError], reason: FailureReason
) -> None:
    failure = refused(status, headers={"Retry-After": "5", "X-RateLimit-Limit": "9"})

    assert type(failure) is kind
    assert failure.reason is reason
    assert failure.status == status
    assert failure.rate_limit == RateLimitHeaders(limit=9)
    assert failure.retry_after_seconds == 5.0


@pytest.mark.parametrize("status", [402, 409, 418, 420, 423, 430])
def test_a_status_that_braze_does_not_document_is_temporary_if_it_says_when(
    status: int,
) -> None:
    temporary = (errors.Unavailable, FailureReason.SERVER_ERROR)
    refused_itself = (errors.ObjectRefused, FailureReason.BAD_REQUEST)
    for value, expected in {
        "7": temporary,
        "Mon, 21 Sep 2026 14:13:27 GMT": temporary,
        "soon": refused_itself,
        "": refused_itself,
    }.items():
        failure = refused(status, headers={"Retry-After": value})
        assert (type(failure), failure.reason) == expected


@pytest.mark.parametrize(
    ("status", "texts"),
    [
        (401, ["variable BRAZE_API_KEY", "another Braze instance", "Braze: Invalid"]),
        (403, ["campaigns.data_series", "allowlist"]),
        (400, ["is the campaign id the campaign's API identifier?"]),
        (302, ["redirect to else.test; redirects are not followed"]),
    ],
)
def test_a_message_contains_what_to_check(status: int, texts: list[str]) -> None:
    """Of the target of a redirect it contains the host only."""
    location = {"Location": "https://Else.test:8/x?y=secret"}

    found = str(refused(status, message="Invalid", headers=location))

    assert all(text in found for text in ["https://rest.iad-01.braze.com", *texts])
    assert "secret" not in found


@pytest.mark.parametrize(
    ("path", "message", "date", "text"),
    [
        (
            "canvas/data_series",
            "Invalid Canvas ID",
            "",
            "is the canvas id the",
        ),
        ("canvas/details", "ending_at", "", "is the canvas id the"),
        ("campaigns/details", "ending_at", "", "is the campaign id the campaign's"),
        ("segments/data_series", "no", "", "is analytics tracking on for the segment"),
        ("events/data_series", "no", "", "is the event spelled as in Braze?"),
        ("kpi/dau/data_series", "no", "", "the request is refused (Braze: no)"),
        *(
            ("canvas/data_series", message, "", "this machine's clock: is it ahead?")
            for message in ("Ending at is invalid", "The time is in the Future")
        ),
        (
            "canvas/data_series",
            "ending_at must not be in the future",
            "",
            "; ending_at is computed by this machine's clock: is it ahead?; run a time",
        ),
        (
            "canvas/data_series",
            "ending_at must not be in the future",
            "Thu, 01 Jan 1970 00:10:00 GMT",
            "; this machine's clock is 600 s ahead of the response's Date header; run ",
        ),
    ],
)
def test_a_refused_canvas_names_the_id_or_the_clock(
    path: str, message: str, date: str, text: str
) -> None:
    failure = refusal(
        REQUEST._replace(path=path),
        status=400,
        headers={"Date": date} if date else {},
        message=message,
        now=1200.0,
    )

    assert text in str(failure)
    # With a right clock it is polled again at its interval, with a right id slowly.
    assert isinstance(
        failure, errors.Unusable if "clock" in text else errors.ObjectRefused
    )


@pytest.mark.parametrize(
    ("path", "permission"),
    [
        ("campaigns/data_series", "campaigns.data_series"),
        ("kpi/new_users/data_series", "kpi.new_users.data_series"),
        ("purchases/quantity_series", "purchases.quantity_series"),
        ("messages/scheduled_broadcasts", "messages.schedule_broadcasts"),
        ("cdi/integrations", "cdi.integration_list"),
    ],
)
def test_a_missing_permission_is_named_as_braze_spells_it(
    path: str, permission: str
) -> None:
    failure = refusal(
        REQUEST._replace(path=path), status=403, headers={}, message="", now=0.0
    )

    assert f"needs the permission {permission} and" in str(failure)


@pytest.mark.parametrize("location", ["", "/login", "http://[", "//"])
def test_a_redirect_may_have_no_host(location: str) -> None:
    assert "redirect to an unknown host" in str(
        refused(302, headers={"Location": location})
    )


def test_a_quoted_message_is_cleaned_and_cut() -> None:
    """Control characters and lone surrogates are replaced, 200 characters are kept."""
    text = str(refused(400, message="a\nb\x1b[31m\ud800" + "x" * 300))

    assert "Braze: a\ufffdb\ufffd[31m\ufffdxxx" in text
    assert text.endswith("x…)")
    assert len(text) < 400


def test_the_key_is_removed_from_quoted_texts() -> None:
    location = {"Location": f"https://{KEY}.test/"}
    failure = refused(302, message=f"bad key {KEY.upper()}", headers=location)

    assert KEY not in str(failure).lower()
    assert "bad key <key>" in str(failure)


def test_email_addresses_are_removed_from_quoted_texts() -> None:
    """Also one that the limit of 200 characters would cut before its sign."""
    text = "x" * 195 + " a.person+braze@mail.example, and b@mail.example"

    assert "@" not in str(refused(400, message="contacts: a@b.example"))
    assert "contacts: <address>)" in str(refused(400, message="contacts: a@b.example"))
    assert "a.person" not in str(refused(400, message=text))


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the time zone of this process."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("Mon, 21 Sep 2026 14:13:20 GMT", NOW),
        # The obsolete formats of RFC 9110, 5.6.7, and a sender that does not know UTC.
        ("Monday, 21-Sep-26 14:13:20 GMT", NOW),
        ("Mon Sep 21 14:13:20 2026", NOW),
        ("Mon, 21 Sep 2026 14:13:20 -0000", NOW),
        ("Mon, 21 Sep 2026 07:13:20 -0700", NOW),
        ("", None),
        ("Mon, 99 Sep 2026 14:13:20 GMT", None),
    ],
)
@pytest.mark.usefixtures("tokyo")
def test_the_date_of_a_response_is_parsed(text: str, instant: float | None) -> None:
    """In every time zone. Failures contain it, and the message of the response."""
    failure = refused(403, headers={"Date": text}, message=f"no {KEY}")

    assert failure.answered_at == answered_at_of({"Date": text}) == instant
    assert failure.detail == "no <key>"


@pytest.mark.parametrize(
    ("age", "expected"),
    [("90", 90), ("0", 0), ("", 0), ("-5", 0), ("1.5", 0), ("soon", 0), ("9" * 99, 0)],
)
def test_a_cache_adds_the_age_of_its_copy(age: str, expected: float) -> None:
    headers = {"Date": "Mon, 21 Sep 2026 14:13:20 GMT", "Age": age}

    assert answered_at_of(headers) == NOW + expected
    assert answered_at_of({"Age": age}) is None
