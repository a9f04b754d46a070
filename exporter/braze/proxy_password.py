"""The password of a proxy in the forms in which a proxy may repeat it.

With an `http://` endpoint the proxy writes the whole response, and it knows both its
password and the API key.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit

# A shorter password may be a word of a valid response.
_SHORTEST = 6
_SHORTEST_IN_TEXT = 3


class ProxyPassword:
    """The forms of one password; without a proxy, or a password, there are none."""

    def __init__(self, proxy: str | None = None) -> None:
        """`proxy` is a URL that may contain user and password."""
        forms = set(_forms(proxy)) if proxy else set()
        self._forms = tuple(
            form.encode().lower() for form in forms if len(form) >= _SHORTEST
        )
        in_text = (form for form in forms if len(form) >= _SHORTEST_IN_TEXT)
        longest_first = sorted(map(re.escape, in_text), key=len, reverse=True)
        self._pattern = re.compile("|".join(longest_first) or r"(?!)", re.IGNORECASE)

    def hide(self, text: str) -> str:
        """Return the text with `<proxy password>` in place of the password."""
        return self._pattern.sub("<proxy password>", text)

    def is_in(self, lowered: bytes) -> bool:
        """Return whether it is in a text in lower case, whose escapes are resolved."""
        return any(form in lowered for form in self._forms)

    def is_in_header(self, value: str) -> bool:
        """Return whether it is in the value of a header, percent-encoded or not."""
        return any(
            self.is_in(text.lower().encode(errors="replace"))
            for text in (
                value,
                unquote(value),
                value.encode("latin-1", "replace").decode("utf-8", "replace"),
            )
        )


def _forms(proxy: str) -> Iterator[str]:
    try:
        parts = urlsplit(proxy)
        user, raw = unquote(parts.username or ""), parts.password or ""
    except ValueError:  # no request is sent through it
        return
    if not raw:
        return
    password = unquote(raw)
    pair = f"{user}:{password}"
    yield from (raw, password, quote(password), quote(password, safe=""))
    yield from (quote_plus(password), html.escape(password))
    # As a body with resolved escapes contains what is not ASCII: u00e4 for an umlaut.
    yield json.dumps(password)[1:-1].replace("\\", "")
    for text in (pair, password):
        for encoding in ("utf-8", "latin-1"):
            data = text.encode(encoding, "replace")
            for encode in (b64encode, urlsafe_b64encode):
                yield encode(data).decode().rstrip("=")
