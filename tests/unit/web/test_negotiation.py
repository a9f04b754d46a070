"""Content negotiation with the headers of real clients."""

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
def test_openmetrics_is_preferred(accept: str) -> None:
    assert wants_openmetrics(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        CURL,
        FIREFOX,
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
def test_the_text_format_is_preferred(accept: str) -> None:
    """Wildcards, other versions of OpenMetrics, q=0, and a preference for text."""
    assert not wants_openmetrics(accept)


@pytest.mark.parametrize("quality", ["", "high", "-1", "1.1", "nan", "inf", "0,5"])
def test_a_member_with_an_invalid_quality_is_ignored(quality: str) -> None:
    assert not wants_openmetrics(f"application/openmetrics-text;q={quality}")
    assert not accepts_gzip(f"gzip;q={quality}")


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("deflate;q=0.5, GZIP ; Q=0.1", True),
        ("*", True),
        ("br, *;q=0.1", True),
        ("*;q=0, gzip", True),
        ("x-gzip", True),
        ("X-GZIP;q=0.5, identity", True),
        ("*;q=0, x-gzip", True),
        ("gzip;q=0, x-gzip", False),
        ("x-gzip;q=0, *", False),
        ("x-gzip;q=0, gzip", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("gzipped", False),
    ],
)
def test_gzip_is_accepted_by_its_name_or_the_wildcard(
    accept_encoding: str, *, expected: bool
) -> None:
    assert accepts_gzip(accept_encoding) is expected


@given(header=st.text() | st.text(alphabet='gzip*;q=,."10 /textomrics'))
def test_any_header_is_parsed(header: str) -> None:
    assert wants_openmetrics(header) in {True, False}
    assert accepts_gzip(header) in {True, False}


def test_only_the_first_dozens_of_members_are_read() -> None:
    """The time that a header costs is bounded."""
    assert wants_openmetrics("a," * 20 + "application/openmetrics-text")
    assert not wants_openmetrics("a," * 4000 + "application/openmetrics-text")
    assert accepts_gzip("a," * 20 + "gzip")
    assert not accepts_gzip("," * 8000 + "gzip")
    assert not accepts_gzip("gzip;q=0" + ";" * 8000)
