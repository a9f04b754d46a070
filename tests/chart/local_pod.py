"""The chart's pod on this machine: its files below a directory, its port a free one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chart.helm import Document, Rendered, container
from tests.support.daemon_process import Process, run

Files = Mapping[str, str]

_ROOTS = "/etc/braze-exporter|/var/lib/braze-exporter"
_LISTENS = "--web.listen-address="


class LocalPod:
    """The files of a rendered pod, and the commands of its containers."""

    def __init__(
        self,
        rendered: Rendered,
        directory: Path,
        *,
        existing: Files,
        name: str = "pod-0",
        changes: Mapping[str, str] | None = None,
    ) -> None:
        """Write its files. `existing` is the content of Secrets of the user.

        `changes` are texts to replace in files and arguments.
        """
        self.rendered = rendered
        self._directory = directory
        self._existing = existing
        self._name = name
        self._changes = changes or {}
        for mount in rendered.exporter["volumeMounts"]:
            for volume in rendered.pod["volumes"]:
                if volume["name"] == mount["name"]:
                    self._fill(volume, self.path(mount["mountPath"]))

    def arguments(
        self, listens: str = "127.0.0.1:0", name: str = "exporter"
    ) -> list[str]:
        """Return a container's arguments with paths and address of this machine."""
        return self.moved(container(self.rendered.pod, name)["args"], listens)

    def moved(self, given: Sequence[str], listens: str) -> list[str]:
        """Return arguments with the paths and the address of this machine."""
        return [
            f"{_LISTENS}{listens}" if each.startswith(_LISTENS) else self._moved(each)
            for each in given
        ]

    def path(self, path: str) -> Path:
        """Return where a file or directory of the pod is."""
        return Path(f"{self._directory}{path}")

    def check(self) -> subprocess.CompletedProcess[str]:
        """Run the init container that checks the configuration."""
        (check,) = self.rendered.pod["initContainers"]
        name = check["name"]
        return run(*self.arguments(name=name), environment=self._environment(name))

    @contextmanager
    def running(self) -> Iterator[Process]:
        """Start the exporter as Kubernetes does, once the init container succeeds."""
        checked = self.check()
        assert checked.returncode == 0, checked.stderr
        environment = self._environment("exporter")
        with Process(*self.arguments(), environment=environment) as exporter:
            yield exporter

    def run_command(
        self, command: Sequence[str], exporter: Process
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of a probe or of `helm test` against the running exporter."""
        return run(*self.moved(command, exporter.url.partition("://")[2]))

    def run_helm_test(self, exporter: Process) -> int:
        """Run `helm test` against the running exporter and return its exit code."""
        (healthcheck,) = self.rendered.one("Pod")["spec"]["containers"]
        return self.run_command(healthcheck["args"], exporter).returncode

    def _environment(self, name: str) -> dict[str, str]:
        variables = container(self.rendered.pod, name).get("env", [])
        return {each["name"]: self._value(each) for each in variables}

    def _value(self, variable: Document) -> str:
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            assert source["fieldRef"] == {"fieldPath": "metadata.name"}
            return self._name
        if "secretKeyRef" in source:
            return self._existing[source["secretKeyRef"]["key"]]
        return str(variable["value"])

    def _fill(self, volume: Document, directory: Path) -> None:
        directory.mkdir(parents=True)
        for source in sources(volume):
            content = self._content(source)
            for path, key in (source.keys or {key: key for key in content}).items():
                file = directory / path
                file.write_text(self._moved(content[key]), encoding="utf-8")
                file.chmod(source.mode)

    def _content(self, source: Source) -> Files:
        made = {each["metadata"]["name"] for each in self.rendered.all(source.kind)}
        if source.name in made:
            return self.rendered.files(source.kind, source.name)
        return self._existing

    def _moved(self, text: str) -> str:
        for old, new in self._changes.items():
            text = text.replace(old, new)
        return re.sub(_ROOTS, lambda found: str(self.path(found[0])), text)


@dataclass(frozen=True)
class Source:
    """A ConfigMap or Secret in a volume: its keys by path, or all; and their mode."""

    kind: str
    name: str
    keys: Files
    mode: int


def sources(volume: Document) -> Iterator[Source]:
    """Yield every ConfigMap and Secret in a volume."""
    projected = volume.get("projected", {})
    for part in projected.get("sources", [volume]):
        for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            if field in part:
                of = part[field]
                keys = {item["path"]: item["key"] for item in of.get("items", [])}
                mode = of.get("defaultMode", projected.get("defaultMode", 0o644))
                yield Source(kind, of.get("secretName") or of["name"], keys, mode)
