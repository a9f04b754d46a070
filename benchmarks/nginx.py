"""A file server that serves our bytes from memory: what a socket costs at least."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import Process, running, until
from benchmarks.scraper import Scraper
from benchmarks.sockets import free_port

_MEMORY = Path("/dev/shm")  # noqa: S108 - a tmpfs is the point
_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=10;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {folder};
    default_type text/plain;
    {headers}
  }}
}}
"""


def is_installed() -> bool:
    """Return whether an nginx is installed to compare with."""
    return program() is not None and _MEMORY.is_dir()


@contextlib.contextmanager
def serving(body: bytes, *, is_gzip: bool) -> Iterator[tuple[Process, str]]:
    """Serve these bytes inside the block, as what they are; yield also the URL."""
    found = program()
    if found is None:
        message = "nginx is not installed"
        raise RuntimeError(message)
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
        (Path(folder) / "metrics").write_bytes(body)
        port = free_port()
        file = Path(folder) / "nginx.conf"
        headers = "add_header Content-Encoding gzip;" if is_gzip else ""
        file.write_text(
            _CONFIGURATION.format(folder=folder, port=port, headers=headers)
        )
        with running(found, "-p", folder, "-e", "stderr", "-c", str(file)) as process:
            url = f"http://127.0.0.1:{port}/metrics"
            until(lambda: _answers(url), what="nginx")
            yield process, url


def _answers(url: str) -> bool:
    try:
        Scraper(url, is_gzip=True, is_openmetrics=False).scrape()
    except OSError:
        return False
    return True


def program() -> str | None:
    """Return where it is, if it is installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
