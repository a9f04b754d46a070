"""Bodies of responses, made of documents."""

from __future__ import annotations

import json

from exporter.braze.responses import Body, RequestInfo
from exporter.model.config import KeySource
from exporter.system.api_key import Secret

REQUEST = RequestInfo(
    endpoint="https://rest.iad-01.braze.com",
    path="campaigns/data_series",
    key_source=KeySource(env="BRAZE_API_KEY"),
    key=Secret("11111111-aaaa-bbbb-cccc-222222222222"),
)


def body_of(document: object, *, is_ascii: bool = True) -> Body:
    """Return a document as Braze sends it."""
    return Body(REQUEST, {}, json.dumps(document, ensure_ascii=is_ascii).encode())
