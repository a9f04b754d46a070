"""Take the screenshot of the documentation: `make screenshot`.

It shows the status page of `make demo` after every campaign was polled.
"""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support.browser import FLAGS
from tests.support.daemon_process import Process, get, until

_WIDTH, _HEIGHT = 1366, 860


def main(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with Process("demo", "--web.listen-address", "127.0.0.1:0") as demo:
        url = demo.url
        until(lambda: get(f"{url}/-/ready")[0] == 200)
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=FLAGS
            )
            page = chromium.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
            page.goto(url)
            page.screenshot(path=file)
            chromium.close()
        demo.end(signal.SIGTERM, seconds=10)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
