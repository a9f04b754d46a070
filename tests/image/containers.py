"""The image, built and run by podman; containers are removed after each test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.paths import ROOT
from tests.support.daemon_process import Running, until

BASE = "python:3.13-slim"
"""The base image of the Dockerfile: that of `.ci/containers`, or the public one."""
BUILD_SECONDS = 600.0
CONFINED = (
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--memory=64m",
    "--memory-swap=64m",
)
"""Minimal rights and memory of a container."""


class Unavailable(Exception):
    """No image can be built or run on this machine; the message is the reason."""


class Engine:
    """buildah and podman, with the storage of `.ci/containers` if it exists."""

    def __init__(self) -> None:
        for name in ("buildah", "podman"):
            if shutil.which(name) is None:
                raise Unavailable(f"needs {name}")
        self._environment = {**os.environ, **_prepared()}
        asked = self.run("podman", "info", check=False)
        if asked.returncode:
            raise Unavailable(f"podman does not work here: {asked.stderr.strip()}")
        if self.run("podman", "image", "exists", BASE, check=False).returncode:
            raise Unavailable("needs the base image, see .ci/containers")

    def run(
        self, *command: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; AssertionError with its output if it fails."""
        ended = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
            env=self._environment,
        )
        assert not check or ended.returncode == 0, f"{command}: {ended.stderr}"
        return ended

    def build(self, image: str) -> None:
        """Build the Dockerfile with every step."""
        self.run(
            *("buildah", "bud", "--isolation=chroot", "--network=host"),
            *("--pull-never", "--format=docker"),
            *(f"--tag={image}", "."),
        )


def _prepared() -> Mapping[str, str]:
    """Return the settings of an earlier `.ci/containers`, unless others are set."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(cache) / "braze-exporter-containers"
    if "CONTAINERS_STORAGE_CONF" in os.environ or not directory.is_dir():
        return {}
    return {
        "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
        "CONTAINERS_CONF": str(directory / "containers.conf"),
    }


class Container:
    """A container in the host's network; removed at the end of its block."""

    def __init__(
        self,
        engine: Engine,
        image: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        mounts: Mapping[Path, str] | None = None,
        options: Sequence[str] = CONFINED,
    ) -> None:
        self._engine = engine
        settings = (environment or {}).items()
        # Tests run the health check; its timer would need systemd.
        started = engine.run(
            *("podman", "run", "--detach", "--network=host"),
            "--health-interval=disable",
            *options,
            *(f"--env={name}={value}" for name, value in settings),
            *(f"--volume={path}:{at}:ro" for path, at in (mounts or {}).items()),
            *(image, *arguments),
        )
        self._id = started.stdout.strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._engine.run("podman", "rm", "--force", "--time=0", self._id)

    @property
    def log(self) -> str:
        """The output so far."""
        ended = self._engine.run("podman", "logs", self._id)
        return ended.stdout + ended.stderr

    def serving(self, port: int, *, path: str = "/-/healthy") -> Running:
        """Return the daemon once it responds on a port of this machine."""
        running = Running(f"http://127.0.0.1:{port}")

        def answers() -> bool:
            assert self.is_running, self.log
            try:
                return running.get(path)[0] == 200
            except OSError:
                return False

        until(answers, what=f"a response on port {port}")
        return running

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, without a check of its exit code."""
        return self._engine.run("podman", "exec", self._id, *command, check=False)

    def check_health(self) -> int:
        """Run the image's own health check and return its exit code."""
        ended = self._engine.run("podman", "healthcheck", "run", self._id, check=False)
        return ended.returncode

    def stop(self) -> int:
        """Stop the container like `docker stop`, and return its exit code."""
        self._engine.run("podman", "stop", "--time=10", self._id)
        return int(self._inspect("{{.State.ExitCode}}"))

    def wait(self) -> int:
        """Wait for the end of the container and return its exit code."""
        return int(self._engine.run("podman", "wait", self._id).stdout)

    @property
    def is_running(self) -> bool:
        """Whether the container runs."""
        return self._inspect("{{.State.Running}}") == "true"

    def _inspect(self, template: str) -> str:
        asked = self._engine.run(
            "podman", "container", "inspect", "--format", template, self._id
        )
        return asked.stdout.strip()
