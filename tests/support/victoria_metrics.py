"""A real VictoriaMetrics, and the vmalert that evaluates rules for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.programs import serving
from tests.support.scripted_peer import closed_port


@contextmanager
def victoria_metrics(program: str, document: str, *, where: Path) -> Iterator[str]:
    """Run a VictoriaMetrics with a configuration of Prometheus, and yield its URL.

    It answers at once: by default results leave out the last 30 seconds.
    """
    file = where / "victoria-metrics.yml"
    file.write_text(document)
    address = f"127.0.0.1:{closed_port()}"
    command = (
        program,
        f"-promscrape.config={file}",
        f"-storageDataPath={where / 'victoria-metrics'}",
        f"-httpListenAddr={address}",
        "-search.latencyOffset=0s",
        "-search.disableCache",
    )
    with serving(*command, ready=f"http://{address}/health"):
        yield f"http://{address}"


@contextmanager
def vmalert(
    program: str, rules: Sequence[Path], *, url: str, interval: str
) -> Iterator[None]:
    """Evaluate rule files with the VictoriaMetrics of a URL, and store the results."""
    address = f"127.0.0.1:{closed_port()}"
    command = (
        program,
        *(f"-rule={file}" for file in rules),
        f"-datasource.url={url}",
        f"-remoteWrite.url={url}",
        f"-notifier.url=http://127.0.0.1:{closed_port()}",
        f"-evaluationInterval={interval}",
        "-remoteWrite.flushInterval=1s",
        f"-httpListenAddr={address}",
    )
    with serving(*command, ready=f"http://{address}/health"):
        yield
