"""Which changes of a file are noticed."""

import os
from pathlib import Path

import pytest
from exporter.system.file_watch import FileWatch


def has_settled(watch: FileWatch) -> bool:
    """Check twice; return whether the second check reported a change."""
    is_early = watch.has_changed()
    assert not is_early
    return watch.has_changed()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with the content `one`."""
    path = tmp_path / "config.yaml"
    path.write_text("one")
    return path


def test_a_file_left_alone_has_not_changed(file: Path) -> None:
    watch = FileWatch(str(file))

    assert [watch.has_changed() for _ in range(3)] == [False] * 3


def test_another_content_is_told_once(file: Path) -> None:
    """Written in place, as an editor may; then it is the content that counts."""
    watch = FileWatch(str(file))

    file.write_text("another")

    assert [watch.has_changed() for _ in range(3)] == [False, True, False]


def test_a_file_that_is_being_written_is_not_believed(file: Path) -> None:
    """Half a list of campaigns is a list of campaigns."""
    watch = FileWatch(str(file))

    told = []
    for text in ("one t", "one two th", "one two three", "one two three"):
        file.write_text(text)
        told.append(watch.has_changed())

    assert told == [False, False, False, True]


def test_a_touch_is_no_change(file: Path) -> None:
    watch = FileWatch(str(file))

    os.utime(file, (1, 1))
    file.chmod(0o600)
    touched = watch.has_changed()
    copy = file.with_suffix(".new")
    copy.write_text("one")
    copy.rename(file)

    assert not touched
    assert not watch.has_changed()


def test_a_change_and_back_between_two_looks_is_none(file: Path) -> None:
    watch = FileWatch(str(file))
    file.write_text("two")
    file.write_text("one")

    assert not watch.has_changed()


def test_size_and_time_do_not_hide_another_content(file: Path) -> None:
    """A file of the same size and time in its place, or written over it."""
    watch = FileWatch(str(file))
    status = file.stat()
    times = (status.st_atime_ns, status.st_mtime_ns)
    other = file.with_suffix(".new")
    other.write_text("two")
    os.utime(other, ns=times)

    other.rename(file)
    is_renamed = has_settled(watch)
    file.write_text("six")
    os.utime(file, ns=times)

    assert is_renamed
    assert has_settled(watch)


def test_a_swapped_symlink_is_noticed(tmp_path: Path) -> None:
    """As Kubernetes does it: the name stays a link to `..data`, which goes elsewhere.

    `..data` is exchanged by renaming a new link over it.
    """
    for name, text in (("..1", "one"), ("..2", "two"), ("..3", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    watch = FileWatch(str(tmp_path / "config.yaml"))

    told = []
    for name in ("..1", "..2", "..3"):
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        told.append([watch.has_changed(), watch.has_changed()])

    assert told == [[False, False], [False, True], [False, False]]


def test_a_file_that_is_away_for_a_while_is_no_change(file: Path) -> None:
    """It has no content then; it counts what is there when it is back."""
    watch = FileWatch(str(file))
    away = file.rename(file.with_suffix(".away"))
    while_away = watch.has_changed()

    away.rename(file)
    back = watch.has_changed()
    file.unlink()
    file.write_text("two")

    assert not while_away
    assert not back
    assert has_settled(watch)


def test_a_file_that_cannot_be_read_is_looked_at_again(tmp_path: Path) -> None:
    """A directory in its place has no content; the file that follows has."""
    path = tmp_path / "config.yaml"
    path.mkdir()
    watch = FileWatch(str(path))
    path.rmdir()
    path.mkdir()
    as_directory = watch.has_changed()

    path.rmdir()
    path.write_text("one")

    assert not as_directory
    assert has_settled(watch)


def test_a_pipe_in_its_place_is_not_waited_for(file: Path) -> None:
    """It has no content; the file that follows has."""
    watch = FileWatch(str(file))
    file.unlink()
    os.mkfifo(file)
    as_pipe = watch.has_changed()

    file.unlink()
    file.write_text("two")

    assert not as_pipe
    assert has_settled(watch)
