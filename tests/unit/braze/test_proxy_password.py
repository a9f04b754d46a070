"""A proxy that repeats its own password: no message and no document contains it."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest
from exporter.braze.proxy_password import ProxyPassword
from exporter.model.errors import FetchError
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.braze_client import PATH, client_of, responding
from tests.support.scripted_peer import answer

ENDPOINT = "http://127.0.0.1:9"
PASSWORDS = ("hunter2", "p@ss:w/rd%2F", "Ünï cödé&+", "12345678")


def forms_of(password: str) -> dict[str, str]:
    pair = f"squid:{password}".encode()
    return {
        "plain": password,
        "upper case": password.upper() if password.isascii() else password,
        "percent": quote(password, safe=""),
        "percent, lower case": quote(password, safe="").lower(),
        "form": quote_plus(password),
        "URL": f"http://squid:{quote(password, safe='')}@proxy:3128",
        "header": f"Basic {b64encode(pair).decode()}",
        "header for URLs": urlsafe_b64encode(pair).decode(),
        "Base64": b64encode(password.encode()).decode(),
    }


CASES = [
    pytest.param(password, form, id=f"{password}, {name}")
    for password in PASSWORDS
    for name, form in forms_of(password).items()
]


def result_of(response: bytes, password: str) -> str:
    """Return the text of the result of a fetch through such a proxy."""
    with responding(response) as peer:
        userinfo = f"squid:{quote(password, safe='')}"
        proxy = peer.url.replace("//", f"//{userinfo}@")
        client = client_of(ENDPOINT, proxy=proxy)
        try:
            fetched = client.fetch(PATH, {})
        except FetchError as failure:
            client.close()
            return f"{failure!r} {failure} {failure.detail} {failure.rate_limit}"
        client.close()
        sent = peer.requests[0]
    assert b"Proxy-Authorization: Basic " in sent
    return f"{fetched.document} {fetched.rate_limit} {fetched.status}"


@pytest.mark.parametrize(("password", "form"), CASES)
def test_no_result_contains_a_form_of_the_password(password: str, form: str) -> None:
    in_header = form.encode("utf-8").decode("latin-1")
    message = json.dumps({"message": f"no {form} here"})
    text = json.dumps({"message": "success", "data": [{"name": f"x{form}"}]})
    raw = json.dumps({"data": [form]}, ensure_ascii=False)
    responses = [
        answer(message.encode(), status="407 Proxy Authentication Required"),
        answer(message.encode(), status="400 Bad Request"),
        answer(message.encode(), status=f"503 {in_header}"),
        answer(form.encode(), status="502 Bad Gateway"),
        answer(text.encode()),
        answer(raw.encode()),
        answer(form.encode()),
        answer(
            status="302 Found",
            headers=(f"Location: https://{quote(form, safe='')}.example.com/",),
        ),
        answer(
            status="302 Found",
            headers=(f"Location: https://a.example.com/{in_header}",),
        ),
        answer(
            status="302 Found", headers=(f"Location: https://u:{in_header}@b.example/",)
        ),
        answer(
            status="429 Slow",
            headers=(f"X-RateLimit-Limit: {in_header}", f"Retry-After: {in_header}"),
        ),
    ]

    for response in responses:
        result = result_of(response, password).lower()

        for secret in forms_of(password).values():
            assert secret.lower() not in result


def test_a_failure_states_that_the_password_was_repeated() -> None:
    body = json.dumps({"data": [{"name": "hunter2"}]}).encode()
    refused = json.dumps({"message": "Bad hunter2 of squid"}).encode()

    result = result_of(answer(body), "hunter2")
    quoted = result_of(answer(refused, status="407 No"), "hunter2")

    assert "the body contains the proxy's password" in result
    assert "(Braze: Bad <proxy password> of squid)" in quoted


@pytest.mark.parametrize("password", ["data", "a", "%"])
def test_a_short_password_invalidates_no_document(password: str) -> None:
    """It may be a word of a valid response."""
    result = result_of(answer(b'{"data": ["a", "%"]}'), password)

    assert "'data': ['a', '%']" in result


@pytest.mark.parametrize(
    "proxy", [None, "http://proxy:3128", "http://user@proxy", "http://u:@p", "//[::1"]
)
def test_without_a_password_nothing_is_hidden(proxy: str | None) -> None:
    password = ProxyPassword(proxy)

    assert password.hide("user proxy 3128") == "user proxy 3128"
    assert not password.is_in(b"user proxy 3128")


@given(st.text(min_size=6), st.text(), st.text())
def test_any_password_is_hidden_in_any_text(
    password: str, before: str, after: str
) -> None:
    hidden = ProxyPassword(f"http://u:{quote(password, safe='', errors='replace')}@p")
    text = f"{before}{password}{after}"

    assume(password not in "<proxy password>")
    assert password not in hidden.hide(text)
