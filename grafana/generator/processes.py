"""The panels about the exporter's processes: configuration, memory, CPU."""

from __future__ import annotations

from grafana.generator import panels, tables, telemetry
from grafana.generator.layout import Drawn, Tile
from grafana.generator.panels import Query
from grafana.generator.promql import OF_JOB, select
from grafana.generator.tables import Column, yes_or_no
from grafana.generator.telemetry import BUILD, of_exporters, process, rate


def processes() -> list[Tile]:
    """Return the panels about processes."""
    cpu = select("process_cpu_seconds_total", OF_JOB)
    used = of_exporters(f"rate({cpu}[$__rate_interval])")
    graphs = (
        panels.graph(
            "Requests per minute by process",
            [Query(f"60 * {rate('api_requests_total')}", "{{instance}}")],
            description="Per minute, 60 × `rate()` of all requests to Braze. "
            f"{telemetry.COUNTER} {telemetry.EACH}",
            unit="short",
        ),
        panels.graph(
            "Retries and 429 responses by process",
            [
                Query(f"60 * {rate('api_retries_total')}", "retries {{instance}}"),
                Query(f"60 * {rate('api_throttled_total')}", "429 {{instance}}"),
            ],
            description="Per minute, 60 × `rate()`: requests that repeat a failed one "
            "in the same poll, and responses for an exhausted rate limit. "
            f"{telemetry.COUNTER} {telemetry.EACH}",
            unit="short",
        ),
        panels.graph(
            "Memory",
            [Query(process("process_resident_memory_bytes"), "{{instance}}")],
            description=f"Resident memory. {telemetry.EACH}",
            unit="bytes",
        ),
        panels.graph(
            "CPU",
            [Query(f"max by (instance) ({used})", "{{instance}}")],
            description="Seconds of CPU per second, `rate()` of the process's "
            f"counter. {telemetry.COUNTER} {telemetry.EACH}",
            unit="percentunit",
        ),
    )
    return [Tile(_exporters(), 24, 5), *(Tile(graph, 12, 7) for graph in graphs)]


def _exporters() -> Drawn:
    def by_instance(vector: str) -> str:
        return f"max by (instance) ({vector})"

    loaded = select(
        "braze_exporter_config_last_reload_success_timestamp_seconds", OF_JOB
    )
    accepted = select("braze_exporter_config_last_reload_successful", OF_JOB)
    saves = select("braze_exporter_state_saves_total", (*OF_JOB, 'result="failure"'))
    age = f"time() - {process('process_start_time_seconds')}"
    versions = f"max by (instance, version, python) ({BUILD})"
    return tables.table_of(
        "Processes",
        [
            yes_or_no("Up", by_instance(telemetry.targets())),
            yes_or_no("Configuration accepted", by_instance(accepted)),
            Column(
                "Configuration loaded",
                by_instance(f"1000 * {loaded}"),
                unit="dateTimeAsIso",
            ),
            Column(
                "Running for",
                f"{versions} * on (instance) group_left () ({age})",
                unit="s",
                width=120,
            ),
            Column("Failed saves", by_instance(saves), width=140),
        ],
        keys=("instance", "version", "python"),
        sort="Instance",
        is_ascending=True,
        description="Each process that Prometheus scraped within a week: whether the "
        "last scrape succeeded; whether its last reload did (no: its previous "
        "configuration is active); when that was loaded; since when it runs; and how "
        "often saving its state failed since then (`--state.path`). A name links to "
        "its status page, if the label `instance` is an address that your browser "
        "reaches.",
    )
