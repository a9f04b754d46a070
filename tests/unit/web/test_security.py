"""Web configuration files in force, over sockets, while the files change."""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest
import trustme
from exporter.model.errors import ConfigError
from exporter.system.api_key import Secret
from exporter.system.logformat import Logfmt
from exporter.system.read_file import read_regular
from exporter.web.messages import HttpRequest, HttpResponse
from exporter.web.security import Security, TokenBucket
from exporter.web.web_config import RequestRateLimit, WebConfig
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.certificates import HASH, PASSWORD, Certificates
from tests.support.server_in_thread import (
    RawClient,
    ServerInThread,
    hello,
    request_bytes,
    serving,
)

TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
USERS = f"basic_auth_users:\n  prometheus: {HASH}\n"
OTHER_KEY = trustme.CA().issue_cert("a").private_key_pem.bytes()
VALID = f"prometheus:{PASSWORD}".encode()
OTHER_HASH = bcrypt.hashpw(b"other", bcrypt.gensalt(4)).decode()


@pytest.fixture(name="certificates")
def _certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> None:
    """Set the level; other tests may have changed it."""
    caplog.set_level(logging.INFO, "exporter")


def write(directory: Path, name: str, content: str | bytes) -> Path:
    new = directory / f"{name}.new"
    new.write_bytes(content.encode() if isinstance(content, str) else content)
    return new.replace(directory / name)


def loaded(certificates: Certificates, text: str, *, warnings: int = 0) -> Security:
    """Load a web configuration that has so many warnings."""
    made = Security(str(write(certificates.directory, "web.yml", text)))
    assert len(made.load()) == warnings
    return made


def refresh(one: Security, times: int = 2) -> None:
    """Look at the files; a change is applied by the second look."""
    for _ in range(times):
        one.refresh()


@contextmanager
def protected(one: Security) -> Iterator[ServerInThread]:
    """Run a server with authentication for all paths but /-/healthy."""
    respond = one.wrap(
        hello, needs_no_auth=lambda request: request.path == "/-/healthy"
    )
    with serving(respond, ssl_context=one.ssl_context) as server:
        yield server


def authorization(credentials: bytes) -> str:
    return f"Authorization: Basic {base64.b64encode(credentials).decode()}"


def status(client: RawClient, credentials: bytes = VALID) -> int:
    """Return the status of a request with credentials."""
    return client.get("/", authorization(credentials)).status


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records]


def test_without_a_file_the_server_is_open() -> None:
    one = Security()

    one.refresh()

    assert one.load() == ()
    assert one.describe() == "plain HTTP, no password"
    with protected(one) as server:
        assert server.connect().get().status == 200


def test_users_are_authenticated_over_tls(certificates: Certificates) -> None:
    with protected(loaded(certificates, TLS + USERS)) as server:
        client = server.connect_tls(certificates.client_context())
        refused = client.get()

        assert refused.status == 401
        assert refused.headers["www-authenticate"] == 'Basic realm="braze-exporter"'
        assert status(client, b"prometheus:guess") == 401
        assert status(client) == 200
        assert client.get("/-/healthy").status == 200


def test_a_new_certificate_is_served_without_a_restart(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    old_context = certificates.client_context()
    one = loaded(certificates, TLS)

    with protected(one) as server:
        before = server.connect_tls(old_context)
        assert before.get().status == 200
        new = Certificates(certificates.directory / "new")
        for name in ("cert.pem", "key.pem"):
            (new.directory / name).replace(certificates.directory / name)
        refresh(one)

        assert server.connect_tls(new.client_context()).get().status == 200
        assert before.get().status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            server.connect_tls(old_context)
    assert events(caplog)[0] == "web_config.loaded"


def test_a_file_that_is_written_again_while_it_is_read_is_not_applied(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = loaded(certificates, USERS)

    def write_and_read(path: str, *, at_most: int) -> bytes:
        write(certificates.directory, "web.yml", TLS + USERS)
        return read_regular(path, at_most=at_most)

    write(certificates.directory, "web.yml", TLS)
    with monkeypatch.context() as patched:
        patched.setattr("exporter.web.security.read_regular", write_and_read)
        refresh(one)
    before = one.config
    refresh(one)

    assert (before.tls, bool(before.users)) == (None, True)
    assert one.config.tls
    assert one.config.users


def test_an_invalid_file_is_logged_once_and_not_applied(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    one = loaded(certificates, TLS + USERS)
    directory = certificates.directory

    write(directory, "web.yml", f"{TLS}basic_auth_users: {{a: hunter2}}\ncolor: blue\n")
    refresh(one, times=5)
    with protected(one) as server:
        assert status(server.connect_tls(certificates.client_context())) == 200
    (rejected,) = caplog.records
    write(directory, "web.yml", TLS)
    refresh(one)

    line = Logfmt().format(rejected)
    assert "event=web_config.rejected" in line
    assert "web.yml:4: basic_auth_users.a: expected a bcrypt hash" in line
    assert "web.yml:5: color: unknown key" in line
    assert "hunter2" not in line
    assert events(caplog) == ["web_config.rejected", "web_config.loaded"]
    assert not one.config.users


@pytest.mark.parametrize(
    ("name", "content"),
    [("web.yml", None), ("cert.pem", None), ("key.pem", None), ("key.pem", OTHER_KEY)],
)
def test_the_settings_stay_in_force_while_a_file_is_missing_or_does_not_match(
    certificates: Certificates,
    name: str,
    content: bytes | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = loaded(certificates, TLS + USERS)
    file = certificates.directory / name
    before = file.read_bytes()

    if content:
        write(certificates.directory, name, content)
    else:
        file.unlink()
    refresh(one, times=3)
    with protected(one) as server:
        assert status(server.connect_tls(certificates.client_context())) == 200
    file.write_bytes(before)
    refresh(one, times=3)

    assert events(caplog) == ["web_config.rejected", "web_config.loaded"]


def test_an_emptied_file_does_not_remove_the_protection(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk may have emptied it; `{}` is intentional."""
    one = loaded(certificates, USERS)

    write(certificates.directory, "web.yml", "")
    refresh(one)
    assert one.config.users
    write(certificates.directory, "web.yml", "{}")
    refresh(one)

    assert one.config == WebConfig()
    assert events(caplog) == ["web_config.rejected", "web_config.loaded"]


@pytest.mark.parametrize(
    ("users", "valid"),
    [
        (USERS.replace("prometheus", "grafana"), f"grafana:{PASSWORD}"),
        (USERS.replace(HASH, OTHER_HASH), "prometheus:other"),
    ],
    ids=["other user", "other password"],
)
def test_new_users_are_in_force_on_open_connections(
    certificates: Certificates, users: str, valid: str
) -> None:
    one = loaded(certificates, USERS)

    with protected(one) as server:
        client = server.connect()
        assert status(client) == 200
        write(certificates.directory, "web.yml", users)
        refresh(one)

        assert status(client) == 401
        assert status(client, valid.encode()) == 200


def test_warnings_of_a_new_file_are_logged(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    one = loaded(certificates, "")

    write(certificates.directory, "web.yml", "http_server_config: {http2: true}")
    refresh(one)

    assert events(caplog) == ["config.warning", "web_config.loaded"]


UNREADABLE = "cannot be read; expected a readable regular file of at most 1 MiB"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, UNREADABLE),
        (b"#" * 1024 * 1025, UNREADABLE),
        (b"a: \xff", "is not valid UTF-8; expected YAML in UTF-8"),
    ],
)
def test_an_unreadable_file_is_a_problem(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "web.yml"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        Security(str(file)).load()

    assert str(caught.value) == f"{file}:1: the web configuration {message}"


def test_an_empty_name_of_a_file_is_a_problem() -> None:
    """A variable that is not set does not remove the protection."""
    with pytest.raises(ConfigError, match=UNREADABLE):
        Security("").load()


def test_wrong_passwords_do_not_delay_cached_users(certificates: Certificates) -> None:
    """Beyond the bounded queue wrong passwords are 503 at once."""
    slow = HASH.replace("$04$", "$10$")
    one = loaded(certificates, f"{USERS}  slow: {slow}\n", warnings=1)

    with protected(one) as server:
        cached, flood = server.connect(), [server.connect() for _ in range(50)]
        assert status(cached) == 200
        for number, client in enumerate(flood):
            client.send(request_bytes("/", authorization(b"slow:guess %d" % number)))
        statuses = [status(cached) for _ in range(50)]
        refused = [client.receive() for client in flood]

    assert statuses == [200] * 50
    retry_after = {one.status: one.headers.get("retry-after") for one in refused}
    assert retry_after == {401: None, 503: "1"}


REQUEST = HttpRequest("GET", "/metrics", "", {})
HEALTH = REQUEST._replace(path="/-/healthy")
AUTHENTICATED = REQUEST._replace(
    headers={"authorization": authorization(VALID).partition(": ")[2]}
)
RESPONSE = HttpResponse(200, (("Content-Type", "a/b"), ("x-frame-options", "own")))


def responses(config: WebConfig, *requests: HttpRequest) -> list[HttpResponse]:
    """Return the responses to requests that arrive at the same time."""

    async def respond(_: HttpRequest) -> HttpResponse:
        return RESPONSE

    security = Security()
    security.use(config)
    wrapped = security.wrap(respond, needs_no_auth=lambda request: request == HEALTH)

    async def work() -> list[HttpResponse]:
        return await asyncio.gather(*map(wrapped, requests))

    return asyncio.run(work())


def test_configured_headers_are_added_to_every_response() -> None:
    headers = {"X-Frame-Options": "deny", "Strict-Transport-Security": "max-age=9"}

    valid, refused = responses(
        WebConfig(headers=headers, users={"prometheus": Secret(HASH)}),
        AUTHENTICATED,
        REQUEST,
    )

    assert valid.headers == (("Content-Type", "a/b"), *headers.items())
    assert refused.headers[-2:] == tuple(headers.items())


def test_the_rate_limit_applies_to_all_but_health() -> None:
    """Unauthenticated requests count; the response names the time to wait."""
    config = WebConfig(
        users={"prometheus": Secret(HASH)}, rate_limit=RequestRateLimit(3600.5, 2)
    )

    first, second, third, health = responses(config, REQUEST, REQUEST, REQUEST, HEALTH)

    assert (first.status, second.status) == (401, 401)
    assert third.status == 429
    assert ("Retry-After", "3601") in third.headers
    assert health.status == 200


def test_a_new_rate_limit_is_in_force_at_once() -> None:
    security = Security()
    wrapped = security.wrap(hello, needs_no_auth=lambda _: False)

    async def work() -> list[int]:
        statuses = []
        for burst in (1, 2):
            limit = RequestRateLimit(3600.0, burst)
            security.use(WebConfig(rate_limit=limit))
            statuses += [(await wrapped(REQUEST)).status for _ in range(burst + 1)]
        return statuses

    assert asyncio.run(work()) == [200, 429, 200, 200, 429]


def test_a_bucket_gains_one_token_each_interval() -> None:
    bucket = TokenBucket(RequestRateLimit(2.0, 3), now=100.0)

    assert [bucket.take(now=100.0) for _ in range(4)] == [0, 0, 0, 2.0]
    assert bucket.take(now=101.0) == pytest.approx(1.0)
    assert [bucket.take(now=102.0), bucket.take(now=102.0)] == [0, 2.0]
    assert [bucket.take(now=1000.0) for _ in range(4)] == [0, 0, 0, 2.0]


@given(
    interval_seconds=st.floats(1e-9, 1e9),
    burst=st.integers(1, 20),
    now=st.floats(0, 1e9),
)
@example(interval_seconds=3600.0, burst=1, now=6849.3715947546)
def test_a_full_bucket_has_all_its_tokens_at_any_reading_of_the_clock(
    interval_seconds: float, burst: int, now: float
) -> None:
    bucket = TokenBucket(RequestRateLimit(interval_seconds, burst), now=now)

    assert [bucket.take(now=now) for _ in range(burst)] == [0] * burst
    assert bucket.take(now=now) == interval_seconds
