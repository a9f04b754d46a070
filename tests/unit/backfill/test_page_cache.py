"""Pages that outlive the process that read them."""

from __future__ import annotations

from pathlib import Path

import pytest
from exporter.backfill.page_cache import PageCache
from exporter.backfill.sampling import HistoryRequest

PAGE = HistoryRequest("2026-09-01T12:00:00Z", 100)
DOCUMENT = {"data": [{"time": "2026-08-31", "sent": float("inf"), "odd": "\ud800"}]}


def test_a_page_is_there_again(tmp_path: Path) -> None:
    """Whatever JSON it is, for whoever opens the directory later."""
    PageCache(tmp_path / "pages").begin(now=1000.0)
    PageCache(tmp_path / "pages").put("shop", "c-1", PAGE, DOCUMENT)

    later = PageCache(tmp_path / "pages")

    assert later.begin(now=2000.0) == 1000.0
    assert later.has("shop", "c-1", PAGE)
    assert later.get("shop", "c-1", PAGE) == DOCUMENT


def test_pages_are_told_apart(tmp_path: Path) -> None:
    """By workspace, campaign, end and length."""
    archive = PageCache(tmp_path / "pages")
    archive.begin(now=1000.0)
    archive.put("shop", "c-1", PAGE, DOCUMENT)

    assert not archive.has("shops", "c-1", PAGE)
    assert not archive.has("shop", "c-2", PAGE)
    assert not archive.has("shop", "c-1", HistoryRequest(PAGE.ending_at, 99))
    assert not archive.has("shop", "c-1", HistoryRequest("2026-09-01T12:00:01Z", 100))


@pytest.mark.parametrize("days", [-1, 7, 400])
def test_a_run_of_long_ago_begins_anew(tmp_path: Path, days: int) -> None:
    """Braze has restated its days since; and one of the future is none."""
    archive = PageCache(tmp_path / "pages")
    archive.begin(now=1000.0)
    archive.put("shop", "c-1", PAGE, DOCUMENT)

    now = 1000.0 + days * 86400

    assert archive.begin(now=now) == now
    assert not archive.has("shop", "c-1", PAGE)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"begun_at": "x"}', "\ufffd"])
def test_a_directory_that_tells_no_begin_begins_anew(
    tmp_path: Path, content: str
) -> None:
    """It is damaged, or somebody else's."""
    (tmp_path / "begun.json").write_text(content)

    assert PageCache(tmp_path).begin(now=5.0) == 5.0
    assert PageCache(tmp_path).begin(now=6.0) == 5.0


@pytest.mark.parametrize(
    ("hours", "begun_at"), [(1, 1000.0), (11, 1000.0), (13, None), (-1, None)]
)
def test_a_run_that_came_to_its_end_goes_on_for_half_a_day(
    tmp_path: Path, hours: int, begun_at: float | None
) -> None:
    """What was missing may be asked for once more; the next day counts for itself."""
    archive = PageCache(tmp_path / "pages")
    archive.begin(now=1000.0)
    archive.put("shop", "c-1", PAGE, DOCUMENT)
    archive.note_asked(now=90_000.0)

    now = 90_000.0 + hours * 3600

    assert archive.begin(now=now) == (begun_at or now)
    assert archive.has("shop", "c-1", PAGE) is (begun_at is not None)


def test_what_was_known_of_campaigns_leaves_with_the_pages(tmp_path: Path) -> None:
    """Whatever has become of its file."""
    archive = PageCache(tmp_path / "pages")
    archive.begin(now=1000.0)
    for ending in ("json", "new", "unusable"):
        (tmp_path / "pages" / f"discovery.{ending}").write_text("")

    archive.remove()

    assert list(tmp_path.iterdir()) == []


def test_half_a_page_is_none(tmp_path: Path) -> None:
    """What a crash left of a write is no page, and leaves with the rest."""
    archive = PageCache(tmp_path / "pages")
    archive.begin(now=1000.0)
    archive.put("shop", "c-1", PAGE, DOCUMENT)
    (page,) = (one for one in (tmp_path / "pages").iterdir() if one.stem != "begun")
    page.rename(page.with_name(f"{page.name}.new"))

    assert not archive.has("shop", "c-1", PAGE)

    archive.remove()

    assert list(tmp_path.iterdir()) == []


def test_one_process_works_on_it_at_a_time(tmp_path: Path) -> None:
    """Another one is told so; who has ended leaves it free."""
    archive, other = PageCache(tmp_path / "pages"), PageCache(tmp_path / "pages")
    told = "another run with this output is at work"

    with archive.held():
        archive.begin(now=1000.0)
        with pytest.raises(OSError, match=told) as error, other.held():
            pass
        archive.begin(now=1000.0 + 30 * 86400)
        with pytest.raises(OSError, match=told), other.held():
            pass
        archive.remove()

    assert error.value.filename == str(tmp_path / "pages")
    assert list(tmp_path.iterdir()) == []
    with other.held():
        pass


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    """A directory with other files in it loses ours alone."""
    archive = PageCache(tmp_path)
    (tmp_path / "notes.json").write_text("{}")
    archive.begin(now=1000.0)
    archive.put("shop", "c-1", PAGE, DOCUMENT)

    archive.remove()
    archive.remove()

    assert [one.name for one in tmp_path.iterdir()] == ["notes.json"]
