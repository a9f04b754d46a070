"""What exporters tell each other of a campaign, as bytes and back."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from typing import Any

import pytest
from exporter.model.errors import FailureReason
from exporter.sharing import record
from exporter.sharing.record import Record
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.series.test_snapshot_json import example

GOOD = Record(1000.5, None, None, "", 300.0, example())
BAD = Record(1000.5, 1200.0, FailureReason.TIMEOUT, "no answer in 30 s", 300.0, None)


def packed(document: object) -> bytes:
    """Return any document as records are packed."""
    return zlib.compress(json.dumps(document).encode())


def written(**changes: object) -> bytes:
    """Return a record with other contents."""
    document: dict[str, Any] = json.loads(zlib.decompress(record.write(GOOD)))
    return packed(document | changes)


@pytest.mark.parametrize("one", [GOOD, BAD])
def test_what_is_written_is_read(one: Record) -> None:
    """Nothing is lost on the way."""
    assert record.read(record.write(one)) == one


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no record",
        record.write(GOOD)[:-5],
        zlib.compress(b"{"),
        zlib.compress(b"[" * 100_000),
        packed([]),
        packed({"version": 1}),
        written(version=2),
        written(last_success_at="now"),
        written(last_success_at=True),
        written(failed_at=float("nan")),
        written(failure="bad luck"),
        written(failure=["timeout"]),
        written(error=7),
        written(last_success_at=10**400),
        written(failed_at=-(10**400)),
        written(interval_seconds=10**400),
        written(interval_seconds=0),
        written(interval_seconds=1e300),
        written(interval_seconds=None),
        written(snapshot={}),
        written(snapshot="none"),
        zlib.compress(b" " * 17 * 2**20 + b"{}"),
    ],
)
def test_anything_else_is_no_record(content: bytes) -> None:
    """However odd it is, there is one error, and no memory is spent on it."""
    with pytest.raises(ValueError, match="not a record"):
        record.read(content)


@given(
    content=st.binary()
    | st.builds(
        packed,
        st.recursive(
            st.none() | st.text() | st.floats(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["version", "failure", "snapshot"]), inner
                )
            ),
        ),
    )
)
def test_any_bytes_are_answered(content: bytes) -> None:
    """With a record or the error, and with nothing else."""
    with suppress(ValueError):
        record.read(content)


def test_a_message_is_made_fit_for_a_page() -> None:
    """Control characters become harmless, and it is cut."""
    found = record.read(written(error="a\x00" + "b" * 1000))

    assert found.error == "a\ufffd" + "b" * 254
