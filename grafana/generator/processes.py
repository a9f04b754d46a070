"""The panels about the exporter's processes: configuration, series, memory."""

from __future__ import annotations

from grafana.generator import panels, tables, telemetry
from grafana.generator.layout import Drawn, Tile
from grafana.generator.panels import Query
from grafana.generator.promql import OF_JOB, OF_WORKSPACE, added_up, select
from grafana.generator.tables import Column, yes_or_no
from grafana.generator.telemetry import process


def processes() -> list[Tile]:
    """Return the panels about processes."""
    reload_at = select(
        "braze_exporter_config_last_reload_success_timestamp_seconds", OF_JOB
    )
    cpu = select("process_cpu_seconds_total", OF_JOB)
    return [
        Tile(
            panels.graph(
                "Series served, dropped, and values ignored",
                [
                    Query(
                        added_up(select("braze_exporter_series", OF_WORKSPACE)),
                        "series: {{workspace}}",
                    ),
                    Query(
                        added_up(select("braze_exporter_series_dropped", OF_WORKSPACE)),
                        "dropped: {{workspace}}",
                    ),
                    Query(
                        added_up(select("braze_exporter_ignored_values", OF_WORKSPACE)),
                        "ignored values: {{workspace}}",
                    ),
                    Query(
                        added_up(select("braze_exporter_skipped_rows", OF_WORKSPACE)),
                        "skipped rows: {{workspace}}",
                    ),
                ],
                description="Series in a scrape; series that "
                "`limits.series_per_campaign` drops; and values in Braze's last "
                "responses that are no finite number or have no valid date. The "
                "maximum of replicas, the sum of shards.",
                unit="short",
            ),
            8,
            8,
        ),
        Tile(
            panels.graph(
                "Memory",
                [Query(process("process_resident_memory_bytes"), "{{instance}}")],
                description=f"Resident memory. {telemetry.EACH}",
                unit="bytes",
            ),
            8,
            8,
        ),
        Tile(
            panels.graph(
                "CPU",
                [
                    Query(
                        f"max by (instance) (rate({cpu}[$__rate_interval]))",
                        "{{instance}}",
                    )
                ],
                description="Seconds of CPU per second, `rate()` of the process's "
                "counter. "
                f"{telemetry.COUNTER} {telemetry.EACH}",
                unit="percentunit",
            ),
            8,
            8,
        ),
        Tile(_exporters(reload_at), 24, 6),
    ]


def _exporters(reload_at: str) -> Drawn:
    def by_instance(selector: str) -> str:
        return f"max by (instance) ({selector})"

    build = select("braze_exporter_build_info", OF_JOB)
    reload = select("braze_exporter_config_last_reload_successful", OF_JOB)
    started = select("process_start_time_seconds", OF_JOB)
    saves = select("braze_exporter_state_saves_total", (*OF_JOB, 'result="failure"'))
    return tables.table_of(
        "Processes",
        [
            Column("Up", f"max by (instance, version, python) ({build})", width=70),
            yes_or_no("Configuration accepted", by_instance(reload)),
            Column(
                "Configuration loaded",
                by_instance(f"1000 * {reload_at}"),
                unit="dateTimeAsIso",
            ),
            Column("Running for", by_instance(f"time() - {started}"), unit="s"),
            Column("Failed saves", by_instance(saves), width=140),
        ],
        keys=("instance", "version", "python"),
        sort="Instance",
        is_ascending=True,
        description="Each process that is scraped now: its version; whether its last "
        "reload succeeded (1) or its previous configuration is active (0); when that "
        "was loaded; and how often saving its state failed since it started "
        "(`--state.path`).",
    )
