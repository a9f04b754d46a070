"""A real Prometheus, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from tests.support.daemon_process import get
from tests.support.programs import serving
from tests.support.scripted_peer import closed_port

Vector = list[tuple[dict[str, str], float]]
Matrix = dict[frozenset[tuple[str, str]], dict[float, float]]
"""Values by time, by labels."""


def configuration(target: str) -> str:
    """Return a configuration that scrapes one target every second."""
    return f"""\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: braze
    static_configs: [{{targets: ["{target}"]}}]
"""


@contextmanager
def prometheus(
    program: str, document: str, *, where: Path, flags: Sequence[str] = ()
) -> Iterator[str]:
    """Run a Prometheus with a configuration, and yield its URL.

    Its blocks are in `data`.
    """
    file = where / "prometheus.yml"
    file.write_text(document)
    address = f"127.0.0.1:{closed_port()}"
    command = (
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={where / 'data'}",
        f"--web.listen-address={address}",
    )
    with serving(*command, *flags, ready=f"http://{address}/-/ready"):
        yield f"http://{address}"


def ask(url: str, query: str, *, at: float | None = None) -> Vector:
    """Return labels and value of every sample of an instant query, by default now."""
    instant = {} if at is None else {"time": str(at)}
    answer = _answer(url, "query", query=query, **instant)
    assert isinstance(answer, dict)
    return [
        (sample["metric"], float(sample["value"][1])) for sample in answer["result"]
    ]


def ask_range(url: str, query: str, *, start: float, end: float, step: float) -> Matrix:
    """Return the values of every series of a query over a time."""
    times = {"start": str(start), "end": str(end), "step": str(step)}
    answer = _answer(url, "query_range", query=query, **times)
    assert isinstance(answer, dict)
    return {
        frozenset(series["metric"].items()): {
            float(at): float(value) for at, value in series["values"]
        }
        for series in answer["result"]
    }


def label_values(url: str, label: str, *, selector: str) -> list[str]:
    """Return the values a label has among the series that a selector finds."""
    answer = _answer(url, f"label/{label}/values", **{"match[]": selector})
    assert isinstance(answer, list)
    return answer


def _answer(url: str, path: str, **parameters: str) -> object:
    """Return what it answers; AssertionError with its words if it does not."""
    _, _, body = get(f"{url}/api/v1/{path}?{urlencode(parameters)}")
    answer = json.loads(body)
    assert answer["status"] == "success", f"{answer.get('error')}: {parameters}"
    return answer["data"]
