"""The Helm chart as real Helm renders it.

Helm is a library in Go. It runs in a separate process, so that its threads and signal
handlers do not affect other tests. Manifests are read strictly: a duplicate key is an
error.
"""

from __future__ import annotations

import base64
import importlib
import json
import multiprocessing
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import yaml

from tests.paths import ROOT

CHART = ROOT / "helm" / "braze-exporter"
API_VERSIONS = (
    "monitoring.coreos.com/v1",
    "monitoring.coreos.com/v1alpha1",
    "grafana.integreatly.org/v1beta1",
    "gateway.networking.k8s.io/v1",
)

Document = dict[str, Any]
Values = Mapping[str, object]


class Refused(Exception):
    """Helm did not render the chart with these values; the message is Helm's."""


@dataclass(frozen=True)
class Rendered:
    """The rendered chart: the text of each template by its path."""

    texts: Mapping[str, str]

    @property
    def notes(self) -> str:
        """The text that Helm prints after an installation."""
        return self.texts["NOTES.txt"]

    @cached_property
    def documents(self) -> list[Document]:
        """Every manifest."""
        return [
            document
            for path, text in self.texts.items()
            if path.endswith(".yaml")
            for document in documents(text)
        ]

    def all(self, kind: str) -> list[Document]:
        """Return the manifests of a kind."""
        return [each for each in self.documents if each["kind"] == kind]

    def one(self, kind: str) -> Document:
        """Return the only manifest of a kind."""
        (found,) = self.all(kind)
        return found

    def named(self, kind: str, name: str) -> Document:
        """Return the manifest of a kind and a name."""
        (found,) = (each for each in self.all(kind) if each["metadata"]["name"] == name)
        return found

    @property
    def service(self) -> Document:
        """The Service in front of the pods, not the headless one of a StatefulSet."""
        return self.named("Service", self.workload["metadata"]["name"])

    @property
    def workload(self) -> Document:
        """The Deployment or StatefulSet of the exporter's pods."""
        (found,) = self.all("Deployment") + self.all("StatefulSet")
        return found

    @property
    def pod(self) -> Document:
        """The specification of the exporter's pod."""
        pod: Document = self.workload["spec"]["template"]["spec"]
        return pod

    @property
    def exporter(self) -> Document:
        """The exporter's container."""
        return container(self.pod, "exporter")

    @property
    def pods(self) -> list[Document]:
        """The specifications of all pods, including that of `helm test`."""
        return [self.pod, *(each["spec"] for each in self.all("Pod"))]

    def volume(self, name: str) -> Document:
        """Return a volume of the exporter's pod."""
        (found,) = (each for each in self.pod["volumes"] if each["name"] == name)
        assert isinstance(found, dict)
        return found

    def mount(self, volume: str) -> Document:
        """Return the exporter's mount of a volume."""
        mounts = self.exporter["volumeMounts"]
        (found,) = (each for each in mounts if each["name"] == volume)
        assert isinstance(found, dict)
        return found

    def scraped(self, kind: str) -> Document:
        """Return the only endpoint of a ServiceMonitor or PodMonitor."""
        spec = self.one(kind)["spec"]
        (found,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
        assert isinstance(found, dict)
        return found

    @property
    def images(self) -> list[str]:
        """The images of all containers, without duplicates."""
        return sorted({each["image"] for pod in self.pods for each in containers(pod)})

    def files(self, kind: str, name: str) -> dict[str, str]:
        """Return the content of a ConfigMap or Secret by key."""
        data = self.named(kind, name)["data"]
        if kind == "ConfigMap":
            return dict(data)
        return {
            key: base64.b64decode(text, validate=True).decode()
            for key, text in data.items()
        }

    @property
    def config(self) -> str:
        """The text of the exporter's configuration that the chart renders."""
        name = f"{self.workload['metadata']['name']}-config"
        (kind,) = (
            each["kind"]
            for each in self.all("ConfigMap") + self.all("Secret")
            if each["metadata"]["name"] == name
        )
        return self.files(kind, name)["config.yaml"]


class Helm:
    """Helm in a separate process; charts and renderings are cached."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(max_workers=1, mp_context=context)
        self._scratch = TemporaryDirectory()
        self._without_schema = Path(self._scratch.name) / CHART.name
        ignored = shutil.ignore_patterns("values.schema.json", "ci")
        shutil.copytree(CHART, self._without_schema, ignore=ignored)
        self._rendered: dict[tuple[str, str, str], Rendered | str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        self._scratch.cleanup()

    def render(
        self,
        values: Values | None = None,
        *,
        name: str = "demo",
        kube_version: str = "v1.31.0",
        chart: Path = CHART,
        has_schema: bool = True,
    ) -> Rendered:
        """Render the chart, or raise `Refused`. The result is shared: do not change it.

        Without the schema, whose compilation takes most of the time, only templates
        check the values.
        """
        options = {
            "name": name,
            "namespace": "prod",
            "kube_version": kube_version,
            "api_versions": list(API_VERSIONS),
        }
        place = chart if has_schema else self._without_schema
        # JSON: the library reads values and options as JSON texts.
        key = str(place), json.dumps(values or {}), json.dumps(options)
        if key not in self._rendered:
            self._rendered[key] = self._pool.submit(_render, *key).result()
        found = self._rendered[key]
        if isinstance(found, str):
            raise Refused(found)
        return found

    def lint(self, values: Values) -> list[str]:
        """Return the findings of Helm's strict linter, from warnings on."""
        return self._pool.submit(_lint, str(CHART), dict(values)).result()

    def package(self, directory: Path) -> Path:
        """Package the chart into a directory and return the archive."""
        self._pool.submit(_package, str(CHART), str(directory)).result()
        (archive,) = directory.glob("*.tgz")
        return archive


@cache
def _loaded(chart: str) -> Any:
    return importlib.import_module("helm_python").Chart.load(chart)


def _render(chart: str, values: str, options: str) -> Rendered | str:
    """Return texts by template, or the error message; runs in Helm's process."""
    helm: Any = importlib.import_module("helm_python")
    # A private function of the pinned version: `Chart.render` has no capabilities.
    native: Any = importlib.import_module("helm_python._native")
    try:
        text = native.call_string("helm_render", _loaded(chart)._raw(), values, options)
    except helm.HelmError as error:
        return str(error)
    texts: dict[str, str] = json.loads(text)
    return Rendered({path.partition("/templates/")[2]: texts[path] for path in texts})


def _lint(chart: str, values: Values) -> list[str]:
    helm: Any = importlib.import_module("helm_python")
    report = helm.lint(chart, values, strict=True, kube_version="v1.31.0")
    return [str(each) for each in report["messages"] if each["severity"] >= 2]


def _package(chart: str, directory: str) -> None:
    importlib.import_module("helm_python").package(chart, destination=directory)


_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_SafeLoader):  # type: ignore[misc]  # chosen when it runs
    """Raises on a duplicate key, as Kubernetes does."""


def _mapping(loader: Any, node: yaml.MappingNode) -> Document:
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"duplicate key in {keys}"
    assert all(isinstance(key, str) for key in keys), f"expected text keys, got {keys}"
    made: Document = loader.construct_mapping(node, deep=True)
    return made


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)


def documents(text: str) -> Iterator[Document]:
    """Yield the manifests of a text."""
    for document in yaml.load_all(text, Loader=_StrictLoader):
        if document is not None:
            assert isinstance(document, dict), f"expected a mapping: {document!r}"
            yield document


def containers(pod: Document) -> list[Document]:
    """Return all containers of a pod, init containers first."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def container(pod: Document, name: str) -> Document:
    """Return a container of a pod."""
    (found,) = (each for each in containers(pod) if each["name"] == name)
    assert isinstance(found, dict)
    return found
