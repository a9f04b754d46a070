"""What headers and bodies say, hostile ones included."""

import json
import math
from contextlib import suppress

import pytest
from exporter.braze.responses import (
    BrazeResponse,
    RequestInfo,
    accepted,
    allowance_of,
    answered_at_of,
    document_of,
    message_of,
    refusal,
    retry_after_seconds_of,
    too_large,
)
from exporter.model import errors
from exporter.model.config import KeySource
from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.system.api_key import Secret
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

KEY = "11111111-aaaa-bbbb-cccc-222222222222"
QUESTION = RequestInfo(
    endpoint="https://rest.iad-01.braze.com",
    path="campaigns/data_series",
    key_source=KeySource(env="BRAZE_API_KEY"),
    key=Secret(KEY),
)
NOW = 1_790_000_000.0


def refused(
    status: int, *, message: str = "", headers: dict[str, str] | None = None
) -> errors.FetchError:
    """Return the failure that an answer with this status makes."""
    return refusal(
        QUESTION,
        status=status,
        headers=CaseInsensitiveDict(headers or {}),
        message=message,
        now=NOW,
    )


def comparable(document: object) -> object:
    """Return a document of Python's own decoder as ours would have it."""
    if isinstance(document, dict):
        return {name: comparable(value) for name, value in document.items()}
    if isinstance(document, list):
        return [comparable(value) for value in document]
    is_long = isinstance(document, int) and not -(2**63) <= document < 2**64
    if isinstance(document, float) or is_long:
        try:
            number = float(document)  # type: ignore[arg-type]
        except OverflowError:
            return str(document)
        names = {math.inf: "Infinity", -math.inf: "-Infinity"}
        return names.get(number, "NaN" if math.isnan(number) else number)
    return document


def test_the_allowance_is_read() -> None:
    """The three headers become numbers, blanks around them aside."""
    allowance = allowance_of(
        {
            "X-RateLimit-Limit": "50000",
            "X-RateLimit-Remaining": " 0 ",
            "X-RateLimit-Reset": "1790000060",
        }
    )

    assert allowance == RateLimitHeaders(
        limit=50000, remaining=0, reset_at=1790000060.0
    )


@pytest.mark.parametrize(
    "text", ["", "many", "-1", "+1", "1.5", "1e3", "5, 5", "²", "٣", "1_0", "9" * 400]
)
def test_a_strange_allowance_was_not_said(text: str) -> None:
    """What is no plain non-negative integer is ignored."""
    allowance = allowance_of(
        {
            "X-RateLimit-Limit": text,
            "X-RateLimit-Remaining": text,
            "X-RateLimit-Reset": text,
        }
    )

    assert allowance == RateLimitHeaders()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("86400", 3600.0),
        ("Mon, 21 Sep 2026 14:14:20 GMT", 60.0),
        ("Mon, 21 Sep 2026 14:14:20 -0000", 60.0),
        ("Mon, 21 Sep 2020 14:14:20 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float) -> None:
    """Both forms give seconds from now, between 0 and an hour."""
    found = retry_after_seconds_of({"Retry-After": text}, now=NOW)

    assert found == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "-5", "1.5", "soon", "Mon, 99 Sep 2026 99:99:99 GMT", "1 Jan 0 0:0:0 -9999"],
)
def test_a_strange_retry_after_was_not_said(text: str) -> None:
    """What is neither seconds nor a date is ignored."""
    assert retry_after_seconds_of({"Retry-After": text}, now=NOW) is None


@given(st.text())
def test_no_header_text_raises(text: str) -> None:
    """Any text at all gives a value or none."""
    headers = {"Retry-After": text, "X-RateLimit-Limit": text, "Location": text}
    allowance_of(headers)
    retry_after_seconds_of(headers, now=NOW)

    assert refused(302, headers=headers).reason is FailureReason.REDIRECT


def test_an_accepted_answer_holds_document_and_allowance() -> None:
    """Status 200 with JSON is an answer, a byte order mark in front of it aside."""
    headers = {"X-RateLimit-Remaining": "7"}

    found = accepted(QUESTION, headers, b'\xef\xbb\xbf{"message": "success"}')

    assert found == BrazeResponse(
        {"message": "success"}, 200, RateLimitHeaders(remaining=7)
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "its body is empty"),
        (b"<html>", "no JSON: Expecting value at character 0"),
        (b'{"a": 1} x', "no JSON: Extra data at character 9"),
        (b'"\n"', "no JSON: Invalid control character at character 1"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000, "nested too deep"),
    ],
)
def test_a_body_that_is_no_json_is_malformed(body: bytes, text: str) -> None:
    """The failure says what is wrong, keeps the allowance, and holds no body."""
    with pytest.raises(errors.Unavailable, match=text) as caught:
        accepted(QUESTION, {"X-RateLimit-Remaining": "7"}, body)

    assert caught.value.reason is FailureReason.MALFORMED
    assert caught.value.status == 200
    assert caught.value.allowance == RateLimitHeaders(remaining=7)
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
def test_a_body_that_repeats_the_key_is_malformed(written: str, body: str) -> None:
    """Names in it would become labels; however JSON writes it, it goes no further."""
    with pytest.raises(errors.Unavailable, match="repeats the key") as caught:
        accepted(QUESTION, {}, body.format(written).encode())

    assert caught.value.reason is FailureReason.MALFORMED
    assert KEY not in str(caught.value).lower()


@pytest.mark.parametrize("key", ['"\\/<quoted>', r"back\slash", "a/slash/ed"])
def test_a_key_that_json_escapes_is_found_too(key: str) -> None:
    """Whatever printable characters a key is made of."""
    question = QUESTION._replace(key=Secret(key))

    assert question.is_told_by(json.dumps({"name": key}).encode())
    assert question.is_told_by(json.dumps(key).replace("/", r"\/").encode())


def test_a_key_too_short_for_a_secret_is_not_looked_for() -> None:
    """Nearly every body has a `data` in it."""
    question = QUESTION._replace(key=Secret("data"))

    assert accepted(question, {}, b'{"data": []}').document == {"data": []}


def test_numbers_that_are_none_pass() -> None:
    """NaN, infinities and endless integers are texts, and the rest is as it is."""
    endless = "1" + "0" * 5000
    body = f"[NaN, -Infinity, 1e999, {endless}, -{endless}, 12, 1e5, -1]"

    document = document_of(body.encode())

    texts = ["NaN", "-Infinity", "1e999", endless, f"-{endless}"]
    assert document == [*texts, 12, 1e5, -1]


@pytest.mark.parametrize("is_strict", [True, False])
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2.0**64),
        ("-9223372036854775808", -(2**63)),
        ("-9223372036854775809", -(2.0**63)),
        ("1" + "0" * 308, 1e308),
        ("0.1", 0.1),
    ],
)
def test_long_integers_are_doubles(
    text: str, number: float, *, is_strict: bool
) -> None:
    """Beyond 64 bits, whichever of the two decoders reads them."""
    other = "1" if is_strict else "NaN"

    found = document_of(f"[{text}, {other}]".encode())

    assert isinstance(found, list)
    assert (found[0], type(found[0])) == (number, type(number))


def test_a_broken_document_after_an_endless_integer_is_malformed() -> None:
    """The second way to decode meets the same faults as the first."""
    with pytest.raises(ValueError, match="no JSON"):
        document_of(b"[1" + b"0" * 5000 + b", }")


NUMBERS = st.integers() | st.floats() | st.integers(62, 1100).map(lambda n: 2**n)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.booleans())
def test_documents_are_what_python_itself_makes_of_them(
    document: object, is_ascii: bool
) -> None:
    """Whichever of the two decoders reads them."""
    body = json.dumps(document, ensure_ascii=is_ascii).encode(errors="replace")

    assert document_of(body) == comparable(json.loads(body))


def test_lone_surrogates_pass() -> None:
    """An escaped half of a character is left to whoever shows it."""
    assert document_of(b'"\\ud800"') == "\ud800"


@given(st.binary())
def test_no_body_raises_anything_else(body: bytes) -> None:
    """Any bytes at all give an answer or a malformed one."""
    with suppress(errors.Unavailable):
        accepted(QUESTION, {}, body)


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
def test_the_message_of_a_failure(body: bytes, message: str) -> None:
    """Only the text `message` of a JSON object is taken."""
    assert message_of(body) == message


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (101, errors.Unavailable, FailureReason.MALFORMED),
        (204, errors.Unavailable, FailureReason.MALFORMED),
        (301, errors.Unusable, FailureReason.REDIRECT),
        (304, errors.Unusable, FailureReason.REDIRECT),
        (400, errors.CampaignRefused, FailureReason.BAD_REQUEST),
        (401, errors.KeyRefused, FailureReason.UNAUTHORIZED),
        (403, errors.KeyRefused, FailureReason.FORBIDDEN),
        (404, errors.CampaignRefused, FailureReason.NOT_FOUND),
        (418, errors.CampaignRefused, FailureReason.BAD_REQUEST),
        (429, errors.Throttled, FailureReason.RATE_LIMITED),
        (500, errors.Unavailable, FailureReason.SERVER_ERROR),
        (599, errors.Unavailable, FailureReason.SERVER_ERROR),
        (799, errors.Unavailable, FailureReason.MALFORMED),
    ],
)
def test_every_status_has_its_failure(
    status: int, kind: type[errors.FetchError], reason: FailureReason
) -> None:
    """The class says what is next, the reason is the label, headers are kept."""
    failure = refused(status, headers={"retry-after": "5", "x-ratelimit-limit": "9"})

    assert type(failure) is kind
    assert failure.reason is reason
    assert failure.status == status
    assert failure.allowance == RateLimitHeaders(limit=9)
    assert failure.retry_after_seconds == 5.0


def test_unauthorized_names_key_and_endpoint() -> None:
    """Braze says 401 to a wrong key and to a right one at the wrong instance."""
    text = str(refused(401, message="Invalid API key"))

    assert "environment variable BRAZE_API_KEY" in text
    assert "https://rest.iad-01.braze.com" in text
    assert "Braze says: Invalid API key" in text


def test_forbidden_names_the_permission() -> None:
    """The permission is named after the path; the key's allowlist is the other half."""
    text = str(refused(403))

    assert "campaigns.data_series" in text
    assert "allowlist" in text


def test_a_redirect_names_its_host_only() -> None:
    """The rest of the address could hold anything."""
    text = str(refused(302, headers={"Location": "https://Else.test:8/x?y=secret"}))

    assert "points to else.test, and redirects are not followed" in text
    assert "secret" not in text


@pytest.mark.parametrize("location", ["", "/login", "http://[", "//"])
def test_a_redirect_without_a_host_is_one(location: str) -> None:
    """A relative or broken Location changes nothing."""
    assert "another place" in str(refused(302, headers={"Location": location}))


def test_a_quoted_message_is_cleaned_and_cut() -> None:
    """Control characters and lone surrogates are replaced, 200 characters are kept."""
    text = str(refused(400, message="a\nb\x1b[31m\ud800" + "x" * 300))

    assert "Braze says: a\ufffdb\ufffd[31m\ufffdxxx" in text
    assert text.endswith("x…)")
    assert len(text) < 400


def test_an_echoed_key_is_hidden() -> None:
    """What Braze or a redirect says of the key is replaced, in any case of letters."""
    failure = refused(
        302,
        message=f"bad key {KEY.upper()}",
        headers={"Location": f"https://{KEY}.test/"},
    )

    assert KEY not in str(failure).lower()
    assert "bad key <key>" in str(failure)


def test_too_large_names_the_limit() -> None:
    """The message leads to the setting."""
    failure = too_large(QUESTION, {"X-RateLimit-Remaining": "7"}, limit=4096)

    assert isinstance(failure, errors.Unusable)
    assert failure.reason is FailureReason.TOO_LARGE
    assert failure.allowance == RateLimitHeaders(remaining=7)
    assert "4096 bytes (limits.response_bytes)" in str(failure)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("Mon, 21 Sep 2026 14:13:20 GMT", NOW),
        ("", None),
        ("soon", None),
        ("Mon, 99 Sep 2026 14:13:20 GMT", None),
    ],
)
def test_the_time_of_an_answer_is_read(text: str, instant: float | None) -> None:
    """From `Date`; failures tell it too, and what they said."""
    headers = {"Date": text}

    assert answered_at_of(headers) == instant
    assert accepted(QUESTION, headers, b"{}").answered_at == instant
    failure = refused(403, headers=headers, message=f"no {KEY}")
    assert failure.answered_at == instant
    assert failure.said == "no <key>"
    assert answered_at_of({}) is None
