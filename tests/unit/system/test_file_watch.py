"""Which changes of a file are reported."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from exporter.system.file_watch import FileWatch


def checked(watch: FileWatch, times: int = 2) -> list[bool]:
    """Return the results of so many checks."""
    return [watch.has_changed() for _ in range(times)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with the content `one`."""
    path = tmp_path / "config.yaml"
    path.write_text("one")
    return path


def test_another_content_is_reported_once(file: Path) -> None:
    watch = FileWatch(str(file))
    before = checked(watch)

    file.write_text("another")

    assert before == [False, False]
    assert checked(watch, 3) == [False, True, False]


def test_a_file_that_is_being_written_is_not_reported(file: Path) -> None:
    """Half a list of campaigns is a list of campaigns."""
    watch = FileWatch(str(file))

    found = []
    for text in ("one t", "one two th", "one two three", "one two three"):
        file.write_text(text)
        found.append(watch.has_changed())

    assert found == [False, False, False, True]


def test_another_file_with_the_same_content_is_not_reported(file: Path) -> None:
    watch = FileWatch(str(file))
    file.write_text("two")
    copy = file.with_suffix(".new")
    copy.write_text("one")
    copy.rename(file)

    assert checked(watch) == [False, False]


def test_a_swapped_symlink_is_reported(tmp_path: Path) -> None:
    """Kubernetes renames a new link over `..data`, to which the file is a link."""
    for name, text in (("..1", "one"), ("..2", "two"), ("..3", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    watch = FileWatch(str(tmp_path / "config.yaml"))

    found = []
    for name in ("..2", "..3"):
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        found.append(checked(watch))

    assert found == [[False, True], [False, False]]


@pytest.mark.parametrize("replace", [lambda _: None, Path.mkdir, os.mkfifo])
@pytest.mark.parametrize(("text", "is_new"), [("one", False), ("two", True)])
def test_a_file_is_not_reported_while_it_is_unreadable(
    file: Path, replace: Callable[[Path], None], text: str, *, is_new: bool
) -> None:
    watch = FileWatch(str(file))
    other = file.with_suffix(".new")
    other.write_text(text)
    file.unlink()
    replace(file)
    meanwhile = checked(watch)

    if file.is_dir():
        file.rmdir()
    other.rename(file)

    assert meanwhile == [False, False]
    assert checked(watch) == [False, is_new]


def test_a_removed_file_is_reported_if_wanted(file: Path) -> None:
    watch = FileWatch(str(file), contents={str(file): b"one"}, reports_removal=True)
    file.unlink()

    assert checked(watch, 3) == [False, True, False]
    assert watch.has_seen({str(file): None})
