"""The image, built and run by podman; containers are removed after each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import gettempdir

from tests.support.daemon_process import Running, until
from tests.support.programs import checked, responds, run_program
from tests.support.scripted_peer import closed_port

BASE = "python:3.13-slim"
"""The base image of the Dockerfile: that of `.ci/containers`, or the public one."""
_TEMPORARY = Path(gettempdir())
"""Where podman runs: its monitor writes a file after a container is out of memory."""
CONFINED = (
    *("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--memory=96m", "--memory-swap=96m"),
)
"""Minimal rights and memory of a container."""
MOUNT = "/etc/braze-exporter"
LISTEN = "BRAZE_EXPORTER_WEB_LISTEN_ADDRESS"


class Engine:
    """buildah and podman, with the storage of `.ci/containers` if it exists."""

    def __init__(self, image: str) -> None:
        self.image = image
        self._environment = {**os.environ, **_prepared()}

    def missing(self) -> str:
        """Return why no image can be built or run on this machine, or nothing."""
        for name in ("buildah", "podman"):
            if shutil.which(name) is None:
                return f"needs {name}"
        if (asked := self.attempt("info")).returncode:
            return f"podman does not work here: {asked.stderr.strip()}"
        if self.attempt("image", "exists", BASE).returncode:
            return "needs the base image, see .ci/containers"
        return ""

    def attempt(self, *arguments: str) -> CompletedProcess[str]:
        """Run podman, without a check of its exit code."""
        return run_program(
            "podman", *arguments, environment=self._environment, directory=_TEMPORARY
        )

    def podman(self, *arguments: str) -> str:
        """Run podman and return its output; AssertionError if it fails."""
        return checked(
            "podman", *arguments, environment=self._environment, directory=_TEMPORARY
        ).stdout

    def build(self) -> None:
        """Build the Dockerfile with every step."""
        checked(
            *("buildah", "bud", "--isolation=chroot", "--network=host"),
            *("--pull-never", "--format=docker", f"--tag={self.image}", "."),
            environment=self._environment,
        )

    def output(self, entrypoint: str, code: str) -> str:
        """Return the output of a program of the image that runs `code`."""
        isolated = ("run", "--rm", "--network=none", f"--entrypoint={entrypoint}")
        return self.podman(*isolated, self.image, "-c", code)

    @contextmanager
    def container(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        mounted: Path | None = None,
    ) -> Iterator[Container]:
        """Run a confined container during the block; it listens on a free port.

        `mounted` is the directory at /etc/braze-exporter.
        """
        port = closed_port()  # the health check needs it in advance
        settings = {**(environment or {}), LISTEN: f":{port}"}
        variables = [f"--env={name}={text}" for name, text in settings.items()]
        volumes = [f"--volume={mounted}:{MOUNT}:ro"] if mounted else []
        # Tests run the health check; its timer would need systemd.
        started = self.podman(
            *("run", "--detach", "--network=host", "--health-interval=disable"),
            *(*CONFINED, *variables, *volumes, self.image, *arguments),
        )
        container = Container(self, started.strip(), port)
        try:
            yield container
        finally:
            self.podman("rm", "--force", "--time=0", container.number)


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


@dataclass(frozen=True)
class Container:
    """A container that was started."""

    engine: Engine
    number: str
    port: int

    @property
    def log(self) -> str:
        """The output so far."""
        ended = self.engine.attempt("logs", self.number)
        return ended.stdout + ended.stderr

    def serving(self, path: str = "/-/healthy") -> Running:
        """Return the daemon once a path responds with 200."""
        running = Running(f"http://127.0.0.1:{self.port}")

        def has_responded() -> bool:
            assert self._inspect("{{.State.Running}}") == "true", self.log
            return responds(f"{running.url}{path}")

        until(has_responded, what=f"a response on port {self.port}")
        return running

    def execute(self, *command: str) -> CompletedProcess[str]:
        """Run a command in the container, without a check of its exit code."""
        return self.engine.attempt("exec", self.number, *command)

    def check_health(self) -> int:
        """Run the image's own health check and return its exit code."""
        return self.engine.attempt("healthcheck", "run", self.number).returncode

    def stop(self) -> int:
        """Stop the container like `docker stop`, and return its exit code."""
        self.engine.podman("stop", "--time=10", self.number)
        return int(self._inspect("{{.State.ExitCode}}"))

    def _inspect(self, template: str) -> str:
        inspect = ("container", "inspect", "--format", template)
        return self.engine.podman(*inspect, self.number).strip()
