"""Cached pages outlive the process that downloaded them."""

from __future__ import annotations

from pathlib import Path

import pytest
from exporter.backfill.page_cache import CacheKey, PageCache
from exporter.backfill.sampling import HistoryRequest

PAGE = HistoryRequest("2026-09-01T12:00:00Z", 100)
KEY = CacheKey("shop", "http://a", "campaign", "c-1")
DOCUMENT = {"data": [{"time": "2026-08-31", "sent": float("inf"), "odd": "\ud800"}]}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "pages"


@pytest.fixture
def cache(directory: Path) -> PageCache:
    """Return a cache that was started at 1000 and holds one page."""
    cache = PageCache(directory)
    cache.start(now=1000.0)
    cache.put(KEY, PAGE, DOCUMENT)
    return cache


def test_a_page_is_read_back_by_another_process(
    cache: PageCache, directory: Path
) -> None:
    """Any JSON is kept; workspace, kind, id, end and length are part of the key."""
    other = PageCache(directory)

    assert other.start(now=2000.0) == 1000.0
    assert other.get(KEY, PAGE) == DOCUMENT
    assert other.has(KEY, PAGE)
    for key in (
        (KEY._replace(workspace="shops"), PAGE),
        (KEY._replace(endpoint="http://b"), PAGE),
        (KEY._replace(kind="canvas"), PAGE),
        (KEY._replace(id="c-2"), PAGE),
        (KEY, HistoryRequest(PAGE.ending_at, 99)),
        (KEY, HistoryRequest("2026-09-01T12:00:01Z", 100)),
    ):
        assert not cache.has(*key)


@pytest.mark.parametrize(
    ("ended_at", "now", "is_resumed"),
    [
        (None, 1000.0 + 6 * 86400, True),
        (None, 1000.0 + 7 * 86400, False),
        (None, 1000.0 + 400 * 86400, False),
        (None, 1000.0 - 86400, False),
        (90_000.0, 90_000.0 + 11 * 3600, True),
        (90_000.0, 90_000.0 + 13 * 3600, False),
        (90_000.0, 90_000.0 - 3600, False),
    ],
)
def test_a_run_is_resumed_for_a_limited_time(
    cache: PageCache, ended_at: float | None, now: float, is_resumed: bool
) -> None:
    """An interrupted run for seven days, one that ended incomplete for half a day."""
    if ended_at is not None:
        cache.mark_incomplete(now=ended_at)

    assert cache.start(now=now) == (1000.0 if is_resumed else now)
    assert cache.has(KEY, PAGE) is is_resumed


@pytest.mark.parametrize("content", ["", "{", "[]", '{"begun_at": "x"}', "\ufffd"])
def test_an_unreadable_run_file_starts_a_new_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "begun.json").write_text(content)

    assert PageCache(tmp_path).start(now=5.0) == 5.0
    assert PageCache(tmp_path).start(now=6.0) == 5.0


def test_removing_deletes_own_files_only(cache: PageCache, directory: Path) -> None:
    """Those of discovery and partly written pages, which no run reads, are ours."""
    (page,) = (one for one in directory.iterdir() if one.stem != "begun")
    page.rename(page.with_name(f"{page.name}.new"))
    for name in (
        "state.sqlite3",
        "state.sqlite3-journal",
        "state.unusable",
        "notes.json",
    ):
        (directory / name).write_text("")
    assert not cache.has(KEY, PAGE)

    cache.remove()
    cache.remove()

    assert [one.name for one in directory.iterdir()] == ["notes.json"]


def test_a_second_process_cannot_lock_the_directory(
    cache: PageCache, directory: Path
) -> None:
    """Until the first one ends, also if the first one starts a new run meanwhile."""
    other = PageCache(directory)
    message = "another backfill with the same --output is running"

    with cache.locked():
        with pytest.raises(OSError, match=message) as error, other.locked():
            pass
        cache.start(now=1000.0 + 30 * 86400)
        with pytest.raises(OSError, match=message), other.locked():
            pass
        cache.remove()

    assert error.value.filename == str(directory)
    assert not directory.exists()
    with other.locked():
        pass
