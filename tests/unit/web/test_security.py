"""The web configuration in force, over real sockets, while its files change."""

from __future__ import annotations

import base64
import logging
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from exporter.model.errors import ConfigError
from exporter.system.logformat import Logfmt
from exporter.web.connection import ClientLimits
from exporter.web.security import FileSecurity
from exporter.web.web_config import WebConfig

from tests.support.certificates import HASH, PASSWORD, Papers
from tests.support.server_in_thread import GET, Inn, Visitor, greet, opened

TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
USERS = f"basic_auth_users:\n  prometheus: {HASH}\n"


@pytest.fixture(name="papers")
def _papers(tmp_path: Path) -> Papers:
    """Issue a certificate."""
    return Papers(tmp_path)


@pytest.fixture(autouse=True)
def _hear_everything(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever level others left behind."""
    caplog.set_level(logging.INFO, "exporter")


def written(papers: Papers, text: str) -> Path:
    """Write the web configuration as a whole and return where it is."""
    file = papers.directory / "web.yml"
    fresh = papers.directory / "web.yml.new"
    fresh.write_text(text)
    return fresh.replace(file)


def protection(papers: Papers, text: str) -> FileSecurity:
    """Return what a text protects."""
    made = FileSecurity(str(written(papers, text)))
    assert made.load() == ()
    return made


def look(one: FileSecurity, times: int = 2) -> None:
    """Let it look at its files: a change has to be seen twice."""
    for _ in range(times):
        one.refresh()


@contextmanager
def guarded(one: FileSecurity, limits: ClientLimits | None = None) -> Iterator[Inn]:
    """Run a listener that is protected but for /-/healthy."""
    respond = one.guard(greet, is_open=lambda request: request.path == "/-/healthy")
    with opened(respond, limits=limits, ssl_context=one.ssl_context) as inn:
        yield inn


def status(visitor: Visitor, said: str = f"prometheus:{PASSWORD}") -> int:
    """Return what a visitor with credentials gets."""
    encoded = base64.b64encode(said.encode())
    visitor.say(GET[:-2] + b"Authorization: Basic " + encoded + b"\r\n\r\n")
    return visitor.answer().status


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the names of what was logged."""
    return [record.message for record in caplog.records]


def test_without_a_file_nothing_is_protected() -> None:
    """Plain HTTP for everyone, and nothing to look at."""
    one = FileSecurity()

    assert one.load() == ()
    one.refresh()

    assert one.config == WebConfig()
    with guarded(one) as inn:
        assert inn.connect().get().status == 200


def test_tls_and_passwords_protect_all_but_health(papers: Papers) -> None:
    """Over TLS a user is served and all others are not, but told whether we live."""
    with guarded(protection(papers, TLS + USERS)) as inn:
        visitor = inn.connect_tls(papers.trusting())

        assert status(visitor) == 200
        assert status(visitor, "prometheus:guess") == 401
        assert visitor.get().status == 401
        visitor.say(GET.replace(b"/ ", b"/-/healthy ", 1))
        assert visitor.answer().status == 200


@pytest.mark.parametrize(
    "said",
    [
        b"Basic",
        b"Basic !!!",
        b"Basic " + base64.b64encode(b"no colon"),
        b"Basic " + base64.b64encode(b"\xff\xfe:\xff"),
        b"Basic " + base64.b64encode(b"a:" + b"x" * 10_000),
        b"Basic \xff\xfe",
        b"Digest username=a",
    ],
)
def test_malformed_credentials_are_refused(papers: Papers, said: bytes) -> None:
    """With 401, as if there were none; the connection goes on."""
    with guarded(protection(papers, USERS)) as inn:
        visitor = inn.connect()
        visitor.say(GET[:-2] + b"Authorization: " + said + b"\r\n\r\n")

        assert visitor.answer().status == 401
        assert status(visitor) == 200


def test_a_new_certificate_is_served_without_a_restart(
    papers: Papers, caplog: pytest.LogCaptureFixture
) -> None:
    """To new connections; those that are open go on."""
    old_trust = papers.trusting()
    one = protection(papers, TLS)

    with guarded(one) as inn:
        before = inn.connect_tls(old_trust)
        assert before.get().status == 200
        new_trust = Papers(papers.directory).trusting()
        look(one)

        assert inn.connect_tls(new_trust).get().status == 200
        assert before.get().status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            inn.connect_tls(old_trust)
    assert events(caplog) == ["web_config.loaded"]


def test_a_secret_that_kubernetes_swaps_is_taken_up(tmp_path: Path) -> None:
    """Files are links through a directory's link, which is replaced in one step."""
    volume = tmp_path / "volume"
    old, new = (Papers(volume / name) for name in ("..1", "..2"))
    for papers in (old, new):
        written(papers, TLS)
    (volume / "..data").symlink_to("..1")
    for name in ("cert.pem", "key.pem", "web.yml"):
        (volume / name).symlink_to(f"..data/{name}")
    one = FileSecurity(str(volume / "web.yml"))
    one.load()

    (volume / "..tmp").symlink_to("..2")
    (volume / "..tmp").replace(volume / "..data")
    look(one)

    with guarded(one) as inn:
        assert inn.connect_tls(new.trusting()).get().status == 200


def test_a_change_holds_when_it_was_seen_twice(papers: Papers) -> None:
    """A file that is being written is not believed, whatever it says meanwhile."""
    one = protection(papers, TLS + USERS)
    file = papers.directory / "web.yml"

    for text in ("", TLS, TLS + "basic_auth", TLS + USERS):
        file.write_text(text)
        look(one, times=1)
        assert one.config.users
    look(one)

    assert one.config.tls
    assert one.config.users


def test_a_bad_file_changes_nothing_and_is_told_once(
    papers: Papers, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line with every problem; the next good one is taken."""
    one = protection(papers, TLS + USERS)

    written(papers, TLS + "basic_auth_users: {a: hunter2}\ncolor: blue\n")
    look(one, times=5)
    with guarded(one) as inn:
        assert status(inn.connect_tls(papers.trusting())) == 200
    (rejected,) = caplog.records
    written(papers, TLS)
    look(one)

    line = Logfmt().format(rejected)
    assert "event=web_config.rejected" in line
    assert "web.yml:4: basic_auth_users.a: expected a bcrypt hash" in line
    assert "web.yml:5: color: unknown key" in line
    assert "hunter2" not in line
    assert events(caplog) == ["web_config.rejected", "web_config.loaded"]
    assert not one.config.users


@pytest.mark.parametrize("name", ["web.yml", "cert.pem", "key.pem"])
def test_a_file_that_goes_and_comes_is_told_and_missed_by_nobody(
    papers: Papers, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What was in force stays in force."""
    one = protection(papers, TLS + USERS)
    file = papers.directory / name
    aside = papers.directory / "aside"

    file.rename(aside)
    look(one, times=3)
    with guarded(one) as inn:
        assert status(inn.connect_tls(papers.trusting())) == 200
    aside.rename(file)
    look(one, times=3)

    assert events(caplog) == ["web_config.rejected", "web_config.loaded"]
    assert one.config.users


def test_a_key_that_comes_after_its_certificate_is_waited_for(
    papers: Papers, caplog: pytest.LogCaptureFixture
) -> None:
    """Between the two the old pair is served, and the line says what does not fit."""
    one = protection(papers, TLS)
    issued = papers.authority.issue_cert("127.0.0.1")

    (papers.directory / "cert.pem").write_bytes(issued.cert_chain_pems[0].bytes())
    look(one)
    with guarded(one) as inn:
        assert inn.connect_tls(papers.trusting()).get().status == 200
    (papers.directory / "key.pem").write_bytes(issued.private_key_pem.bytes())
    look(one)

    assert "does not belong to the certificate" in str(caplog.records[0].__dict__)
    assert ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode()) == (
        served(one, papers)
    )


def served(one: FileSecurity, papers: Papers) -> bytes | None:
    """Return the certificate that a new connection sees."""
    with guarded(one) as inn:
        sock = inn.connect_tls(papers.trusting()).socket
        assert isinstance(sock, ssl.SSLSocket)
        return sock.getpeercert(binary_form=True)


def test_a_file_that_was_emptied_opens_no_door(
    papers: Papers, caplog: pytest.LogCaptureFixture
) -> None:
    """As a full disk would; `{}` says that it is meant."""
    one = protection(papers, USERS)

    written(papers, "")
    look(one)
    assert one.config.users
    written(papers, "{}")
    look(one)

    assert one.config == WebConfig()
    assert events(caplog) == ["web_config.rejected", "web_config.loaded"]


def test_a_user_that_is_removed_is_refused_on_an_open_connection(
    papers: Papers,
) -> None:
    """His next request is the first that fails."""
    one = protection(papers, USERS)

    with guarded(one) as inn:
        visitor = inn.connect()
        assert status(visitor) == 200
        written(papers, USERS.replace("prometheus", "grafana"))
        look(one)

        assert status(visitor) == 401
        assert status(visitor, f"grafana:{PASSWORD}") == 200


def test_nothing_is_read_again_that_has_not_changed(
    papers: Papers, caplog: pytest.LogCaptureFixture
) -> None:
    """A new time of the same content is no change."""
    one = protection(papers, TLS)
    context = one.ssl_context()

    os.utime(papers.directory / "web.yml", (1, 1))
    look(one, times=3)

    assert one.ssl_context() is context
    assert events(caplog) == []


def test_doubts_of_a_new_file_are_logged(
    papers: Papers, caplog: pytest.LogCaptureFixture
) -> None:
    """As those of the configuration are."""
    one = protection(papers, "")

    written(papers, "http_server_config: {http2: true}")
    look(one)

    assert events(caplog) == ["config.warning", "web_config.loaded"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read, or is larger than 1 MiB"),
        (b"#" * 1024 * 1025, "cannot be read, or is larger than 1 MiB"),
        (b"a: \xff", "is not a text in UTF-8"),
    ],
)
def test_a_file_that_is_no_text_is_a_problem(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    """Missing, endless or binary."""
    file = tmp_path / "web.yml"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        FileSecurity(str(file)).load()

    assert str(caught.value) == f"{file}:1: the web configuration {message}"


def test_a_pipe_is_not_waited_for(papers: Papers) -> None:
    """What is no regular file cannot be read, and neither can what cannot be."""
    (papers.directory / "key.pem").unlink()
    os.mkfifo(papers.directory / "key.pem")
    impossible = TLS.replace("cert.pem", "x" * 300)

    with pytest.raises(ConfigError, match=r"(?s)cert_file.*key_file"):
        protection(papers, impossible)


def test_problems_of_certificates_stand_at_their_lines(papers: Papers) -> None:
    """With the path of the option, and nothing of the key."""
    (papers.directory / "key.pem").write_text("hunter2")

    with pytest.raises(ConfigError) as caught:
        protection(papers, TLS)

    file = papers.directory / "web.yml"
    assert str(caught.value) == (
        f"{file}:3: tls_server_config.key_file: expected a private key in PEM form,"
        " without a passphrase"
    )


def test_silent_clients_of_tls_are_dropped_and_hold_no_place(papers: Papers) -> None:
    """Who begins no handshake is closed in time; meanwhile others are served."""
    limits = ClientLimits(first_request_seconds=0.3)
    one = protection(papers, TLS)

    with guarded(one, limits) as inn:
        silent = [inn.connect() for _ in range(50)]
        assert inn.connect_tls(papers.trusting()).get().status == 200

        assert all(visitor.is_shown_out() for visitor in silent)


def test_a_flood_of_wrong_passwords_does_not_slow_a_scrape(papers: Papers) -> None:
    """Who is known is answered while strangers are told to come again."""
    dear = HASH.replace("$04$", "$10$")
    one = FileSecurity(str(written(papers, f"{USERS}  dear: {dear}\n")))
    one.load()

    # A hundred guesses at cost 10 are five seconds of work: one after the other they
    # would take hundreds of times as long as a hundred requests of one who is known.
    with guarded(one) as inn:
        known, flood = inn.connect(), [inn.connect() for _ in range(100)]
        assert status(known) == 200
        quiet = seconds_of_a_hundred(known)
        for number, visitor in enumerate(flood):
            guess = base64.b64encode(b"dear:guess %d" % number)
            visitor.say(GET[:-2] + b"Authorization: Basic " + guess + b"\r\n\r\n")
        flooded = seconds_of_a_hundred(known)
        at_once = [visitor.answer().status for visitor in flood[2:]]

    assert at_once == [503] * 98
    assert flooded < 20 * quiet


def seconds_of_a_hundred(visitor: Visitor) -> float:
    """Return how long a visitor who is known takes for a hundred answers."""
    began = time.perf_counter()
    assert [status(visitor) for _ in range(100)] == [200] * 100
    return time.perf_counter() - began
