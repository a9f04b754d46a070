"""Write an SPDX document of a packaged chart: the chart and the image it starts.

    python3 .ci/chart_sbom.py braze-exporter-0.1.0.tgz REGISTRY/IMAGE sha256:...

Common SBOM scanners do not support charts. Needs Python only; the output depends on the
arguments and the time.
"""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote


def document(chart: Path, *, image: str, digest: str, now: datetime) -> object:
    """Return an SPDX 2.3 document; `digest` is `sha256:` and 64 digits."""
    name, _, version = chart.name.removesuffix(".tgz").rpartition("-")
    found = hashlib.sha256(chart.read_bytes()).hexdigest()
    repository = quote(image, safe="")
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": chart.name,
        "documentNamespace": f"https://spdx.org/spdxdocs/{chart.name}-{found}",
        "creationInfo": {
            "created": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: braze-exporter-chart-sbom"],
        },
        "packages": [
            _package(
                "Chart",
                name=name,
                version=version,
                sha256=found,
                purl=f"pkg:helm/{name}@{version}",
            ),
            _package(
                "Image",
                name=image,
                version=digest,
                sha256=digest.removeprefix("sha256:"),
                purl=f"pkg:oci/{name}@{quote(digest)}?repository_url={repository}",
            ),
        ],
        "relationships": [
            _relation("DOCUMENT", "DESCRIBES", "Chart"),
            _relation("Chart", "DEPENDS_ON", "Image"),
        ],
    }


def _package(
    identity: str, *, name: str, version: str, sha256: str, purl: str
) -> dict[str, object]:
    return {
        "SPDXID": f"SPDXRef-{identity}",
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseDeclared": "Apache-2.0" if identity == "Chart" else "NOASSERTION",
        "licenseConcluded": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": sha256}],
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl,
            }
        ],
    }


def _relation(element: str, kind: str, related: str) -> dict[str, str]:
    return {
        "spdxElementId": f"SPDXRef-{element}",
        "relationshipType": kind,
        "relatedSpdxElement": f"SPDXRef-{related}",
    }


if __name__ == "__main__":
    made = document(
        Path(sys.argv[1]), image=sys.argv[2], digest=sys.argv[3], now=datetime.now(UTC)
    )
    json.dump(made, sys.stdout, indent=2)
