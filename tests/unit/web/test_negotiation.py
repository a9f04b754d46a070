"""What a scraper accepts, from the headers that real ones send."""

import pytest
from exporter.web.negotiation import accepts_gzip, wants_openmetrics
from hypothesis import given
from hypothesis import strategies as st

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,"
    "application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3_NATIVE_HISTOGRAMS = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
    f"encoding=delimited;q=0.6,{PROMETHEUS_3}"
)
PROMETHEUS_3_TEXT_ONLY = "text/plain;version=0.0.4;q=0.6,*/*;q=0.5"
CURL = "*/*"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)


@pytest.mark.parametrize(
    "accept",
    [
        PROMETHEUS_2_42,
        PROMETHEUS_3,
        PROMETHEUS_3_NATIVE_HISTOGRAMS,
        "application/openmetrics-text",
        "Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8",
        'application/openmetrics-text; version="1.0.0"',
        "application/openmetrics-text;q=0.001",
        "text/plain;q=0.5, application/openmetrics-text;q=0.5",
        "text/plain;q=0, application/openmetrics-text;q=0.1",
        "text/plain;q=0.2, application/openmetrics-text;q=0.3, */*",
    ],
)
def test_openmetrics_is_for_who_asks_for_it(accept: str) -> None:
    """Named in our version, or in none, and preferred no less than the text format."""
    assert wants_openmetrics(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        CURL,
        FIREFOX,
        CHROME,
        PROMETHEUS_3_TEXT_ONLY,
        "application/*",
        "*/*, application/openmetrics-text;version=1.0.0;q=0.5",
        "application/openmetrics-text;version=0.0.1",
        "application/openmetrics-text;version=2.0.0,text/plain;q=0.1",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;q=0.4,text/plain;q=0.5",
        "application/openmetrics-text;q=0.4,text/*;q=0.5",
    ],
)
def test_everybody_else_gets_the_text_format(accept: str) -> None:
    """Wildcards, other versions, q=0 and a preference for text are no such wish."""
    assert not wants_openmetrics(accept)


@pytest.mark.parametrize("quality", ["", "high", "-1", "1.1", "nan", "inf", "0,5"])
def test_an_unreadable_quality_counts_as_absent(quality: str) -> None:
    """The member it belongs to was not said."""
    assert not wants_openmetrics(f"application/openmetrics-text;q={quality}")
    assert not accepts_gzip(f"gzip;q={quality}")


@pytest.mark.parametrize(
    "accept_encoding",
    [
        "gzip",
        "x-gzip",
        "gzip, deflate, br, zstd",
        "deflate;q=0.5, GZIP ; Q=0.1",
        "*",
        "br, *;q=0.1",
        "*;q=0, gzip",
    ],
)
def test_gzip_is_for_who_takes_it(accept_encoding: str) -> None:
    """By its name, or by the wildcard where the name is not said."""
    assert accepts_gzip(accept_encoding)


@pytest.mark.parametrize(
    "accept_encoding",
    ["", "identity", "br", "gzip;q=0", "gzip;q=0.000, *", "*;q=0", "gzipped"],
)
def test_who_does_not_take_gzip_gets_none(accept_encoding: str) -> None:
    """Silence is no consent, and q=0 is a refusal."""
    assert not accepts_gzip(accept_encoding)


@given(header=st.text() | st.text(alphabet='gzip*;q=,."10 /textomrics'))
def test_any_header_has_an_answer(header: str) -> None:
    """Nothing a peer sends raises."""
    assert wants_openmetrics(header) in {True, False}
    assert accepts_gzip(header) in {True, False}
