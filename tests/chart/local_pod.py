"""The chart's pod on this machine: its files below a directory, its port a free one."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.chart.helm import Document, Rendered, container
from tests.support.certificates import Papers

Files = Mapping[str, str]

_ROOTS = ("/etc/braze-exporter", "/var/lib/braze-exporter")
_LISTENS = "--web.listen-address="


def secrets(papers: Papers) -> Files:
    """Return what a Secret that exists already may hold, by any key that we ask for."""
    issued = papers.cert.decode(), papers.key.decode(), papers.ca.decode()
    key = "7f3e9a52-0000-4d1b-8a6b-feedfacebeef"
    return dict(zip(("tls.crt", "tls.key", "ca.crt"), issued, strict=True)) | {
        "api-key": key,
        "token": key,
    }


class LocalPod:
    """What a rendered pod would see, and what would be run in it."""

    def __init__(
        self, rendered: Rendered, directory: Path, *, existing: Files, **changes: str
    ) -> None:
        """Write its files; `changes` are texts to put in the place of others."""
        self._rendered = rendered
        self._directory = directory
        self._existing = existing
        self._changes = changes
        mounts = {
            mount["name"]: mount["mountPath"]
            for mount in rendered.exporter["volumeMounts"]
        }
        for volume in rendered.pod["volumes"]:
            if volume["name"] in mounts:
                self._fill(volume, self._path(mounts[volume["name"]]))

    @property
    def config(self) -> str:
        """Where the configuration is on this machine."""
        (flag,) = (each for each in self.arguments() if each.startswith("--config.f"))
        return flag.partition("=")[2]

    def arguments(
        self, listens: str = "127.0.0.1:0", name: str = "exporter"
    ) -> list[str]:
        """Return a container's arguments with paths and address of this machine."""
        given: Sequence[str] = container(self._rendered.pod, name)["args"]
        return self.moved(given, listens)

    def moved(self, given: Sequence[str], listens: str) -> list[str]:
        """Return arguments with the paths and the address of this machine."""
        return [
            f"{_LISTENS}{listens}" if each.startswith(_LISTENS) else self._moved(each)
            for each in given
        ]

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


def unverified() -> ssl.SSLContext:
    """Return the TLS of Kubernetes' probes: they verify nothing and show nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
