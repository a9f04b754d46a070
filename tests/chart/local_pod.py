"""The chart's pod on this machine: its files below a directory, its port a free one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.chart.helm import Document, Rendered, container
from tests.support.certificates import Certificates
from tests.support.daemon_process import run

Files = Mapping[str, str]

_ROOTS = ("/etc/braze-exporter", "/var/lib/braze-exporter")
_LISTENS = "--web.listen-address="


def secrets(certificates: Certificates) -> Files:
    """Return the content of an existing Secret: each key that a test refers to."""
    issued = (
        certificates.cert.decode(),
        certificates.key.decode(),
        certificates.ca.decode(),
    )
    key = "7f3e9a52-0000-4d1b-8a6b-feedfacebeef"
    return dict(zip(("tls.crt", "tls.key", "ca.crt"), issued, strict=True)) | {
        "api-key": key,
        "token": key,
    }


class LocalPod:
    """The files of a rendered pod, and the arguments of its containers."""

    def __init__(
        self,
        rendered: Rendered,
        directory: Path,
        *,
        existing: Files,
        name: str = "pod-0",
        **changes: str,
    ) -> None:
        """Write its files; `changes` are texts to replace in files and arguments."""
        self._rendered = rendered
        self._directory = directory
        self._existing = existing
        self._name = name
        self._changes = changes
        mounts = {
            mount["name"]: mount["mountPath"]
            for mount in rendered.exporter["volumeMounts"]
        }
        for volume in rendered.pod["volumes"]:
            if volume["name"] in mounts:
                self._fill(volume, self._path(mounts[volume["name"]]))

    @property
    def config(self) -> Path:
        """The configuration file on this machine."""
        (flag,) = (each for each in self.arguments() if each.startswith("--config.f"))
        return Path(flag.partition("=")[2])

    def arguments(
        self, listens: str = "127.0.0.1:0", name: str = "exporter"
    ) -> list[str]:
        """Return a container's arguments with paths and address of this machine."""
        given: Sequence[str] = container(self._rendered.pod, name)["args"]
        return self.moved(given, listens)

    def environment(self, name: str = "exporter") -> dict[str, str]:
        """Return a container's variables; those of Secrets are of `existing`."""
        return {
            each["name"]: self._value(each)
            for each in container(self._rendered.pod, name).get("env", [])
        }

    def run_init_containers(self) -> list[subprocess.CompletedProcess[str]]:
        """Run the init containers in their order, up to the first that fails."""
        ended = []
        for each in self._rendered.pod.get("initContainers", []):
            name = each["name"]
            environment = self.environment(name)
            ended.append(run(*self.arguments(name=name), environment=environment))
            if ended[-1].returncode:
                break
        return ended

    def moved(self, given: Sequence[str], listens: str) -> list[str]:
        """Return arguments with the paths and the address of this machine."""
        return [
            f"{_LISTENS}{listens}" if each.startswith(_LISTENS) else self._moved(each)
            for each in given
        ]

    def _value(self, variable: Document) -> str:
        source = variable.get("valueFrom", {})
        if source == {"fieldRef": {"fieldPath": "metadata.name"}}:
            return self._name
        if "secretKeyRef" in source:
            return self._existing[source["secretKeyRef"]["key"]]
        text: str = variable["value"]
        return text

    def _fill(self, volume: Document, directory: Path) -> None:
        directory.mkdir(parents=True)
        for mode, source in _sources(volume):
            held = self._content(source)
            items = source.get("items") or [{"key": key, "path": key} for key in held]
            for item in items:
                file = directory / item["path"]
                file.write_text(self._moved(held[item["key"]]), encoding="utf-8")
                file.chmod(mode)

    def _content(self, source: Document) -> Files:
        name = source.get("secretName") or source["name"]
        for each in self._rendered.documents:
            if (
                each["metadata"]["name"] == name
                and each["kind"] == source["kind"]
                and "data" in each
            ):
                return self._rendered.files(each["kind"], name)
        return self._existing

    def _path(self, path: str) -> Path:
        return Path(self._moved(path) if path.startswith(_ROOTS) else self._below(path))

    def _moved(self, text: str) -> str:
        for old, new in self._changes.items():
            text = text.replace(old, new)
        pattern = "|".join(map(re.escape, _ROOTS))
        return re.sub(pattern, lambda found: self._below(found[0]), text)

    def _below(self, path: str) -> str:
        return f"{self._directory}{path}"


def _sources(volume: Document) -> Iterator[tuple[int, Document]]:
    """Yield mode and source of every ConfigMap and Secret in a volume."""
    projected = volume.get("projected", {})
    for part in projected.get("sources", [volume]):
        for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            if field in part:
                source = part[field]
                mode = source.get("defaultMode", projected.get("defaultMode", 0o644))
                yield mode, source | {"kind": kind}
