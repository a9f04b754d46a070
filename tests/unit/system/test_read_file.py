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


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("large", "it is larger than 4 bytes"),
        ("pipe", "it is not a regular file"),  # without a writer: does not block
        ("/dev/zero", "it is not a regular file"),
        (".", "it is not a regular file"),
        ("socket", "socket"),
        ("missing", "missing"),
    ],
)
def test_other_files_are_rejected(tmp_path: Path, path: str, text: str) -> None:
    (tmp_path / "large").write_bytes(b"12345")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))
        before = len(list(Path("/proc/self/fd").iterdir()))

        with pytest.raises(OSError, match=text):
            read_regular(str(tmp_path / path), at_most=4)

        assert len(list(Path("/proc/self/fd").iterdir())) == before
