"""Regular files of bounded size are read, others are rejected."""

import os
import socket
from pathlib import Path

import pytest
from exporter.system.read_file import read_regular


@pytest.mark.parametrize("content", [b"", b"1234"])
def test_a_file_within_the_limit_is_read(tmp_path: Path, content: bytes) -> None:
    """The path may be a link, as for the secrets of Kubernetes."""
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "link").symlink_to("file")

    assert read_regular(str(tmp_path / "link"), at_most=4) == content


def test_a_larger_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")

    with pytest.raises(OSError, match="it is larger than 4 bytes"):
        read_regular(str(tmp_path / "file"), at_most=4)


def test_other_kinds_of_files_are_rejected(tmp_path: Path) -> None:
    """A pipe without a writer does not block."""
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match="it is not a regular file"):
            read_regular(str(path), at_most=4)


def test_a_socket_and_a_missing_file_are_rejected(tmp_path: Path) -> None:
    """No descriptor is leaked."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s"))

        for name in ("s", "missing"):
            with pytest.raises(OSError, match=name):
                read_regular(str(tmp_path / name), at_most=4)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
