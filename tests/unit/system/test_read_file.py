"""Which files are read, and which only look like some."""

import os
import socket
from pathlib import Path

import pytest
from exporter.system.read_file import read_regular


@pytest.mark.parametrize("content", [b"", b"1234"])
def test_a_file_within_the_bound_is_read_whole(tmp_path: Path, content: bytes) -> None:
    """Through a link too, as Kubernetes mounts a secret."""
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "link").symlink_to("file")

    assert read_regular(str(tmp_path / "link"), at_most=4) == content


def test_a_longer_file_is_not_read(tmp_path: Path) -> None:
    """Half a file would be another one."""
    (tmp_path / "file").write_bytes(b"12345")

    with pytest.raises(OSError, match="it is longer than 4 bytes"):
        read_regular(str(tmp_path / "file"), at_most=4)


def test_what_is_no_regular_file_is_neither_waited_for_nor_read(tmp_path: Path) -> None:
    """A pipe without a writer, a device without an end, a directory."""
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match="it is not a regular file"):
            read_regular(str(path), at_most=4)


def test_a_socket_and_nothing_are_no_files(tmp_path: Path) -> None:
    """The system refuses to open them, and nothing stays open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s"))

        for name in ("s", "missing"):
            with pytest.raises(OSError, match=name):
                read_regular(str(tmp_path / name), at_most=4)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
