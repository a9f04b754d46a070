"""Kubernetes' Pod Security Standards, level "restricted", as a list of controls.

From https://kubernetes.io/docs/concepts/security/pod-security-standards/: each control
with the fields it restricts and the values it allows. An absent field is allowed unless
its control differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Spec = dict[str, Any]

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
_SELINUX_TYPES = {
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def violations(pod: Spec) -> list[str]:
    """Return every violation of the level "restricted" in a pod's specification."""
    found = [each for control in _POD_CONTROLS for each in control(pod)]
    own = pod.get("securityContext") or {}
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(kind) or []:
            context = container.get("securityContext") or {}
            found += [
                f"{container['name']}: {each}"
                for each in _of_container(container, context, own)
            ]
    return found


def _host_namespaces(pod: Spec) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"{field} is set"


def _volume_types(pod: Spec) -> Iterator[str]:
    for volume in pod.get("volumes") or []:
        kinds = set(volume) - {"name"}
        if not kinds <= _VOLUMES:
            yield f"volume {volume['name']} is of type {kinds - _VOLUMES}"


def _sysctls(pod: Spec) -> Iterator[str]:
    for sysctl in (pod.get("securityContext") or {}).get("sysctls") or []:
        if sysctl["name"] not in _SYSCTLS:
            yield f"sysctl {sysctl['name']}"


def _pod_context(pod: Spec) -> Iterator[str]:
    yield from _shared(pod.get("securityContext") or {})


_POD_CONTROLS: tuple[Callable[[Spec], Iterator[str]], ...] = (
    _host_namespaces,
    _volume_types,
    _sysctls,
    _pod_context,
)


def _shared(context: Spec) -> Iterator[str]:
    """Yield settings that are forbidden in pods and containers."""
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield "windowsOptions.hostProcess is set"
    linux = context.get("seLinuxOptions") or {}
    if linux.get("type", "") not in _SELINUX_TYPES or linux.get("user"):
        yield "seLinuxOptions type or user"
    if linux.get("role"):
        yield "seLinuxOptions role"
    armor = (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault")
    if armor not in {"RuntimeDefault", "Localhost"}:
        yield f"appArmorProfile {armor}"
    if context.get("runAsUser") == 0:
        yield "runAsUser is 0"


def _of_container(container: Spec, context: Spec, pod: Spec) -> Iterator[str]:
    yield from _shared(context)
    if context.get("privileged"):
        yield "privileged"
    if context.get("procMount", "Default") != "Default":
        yield "procMount"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []):
        yield "capabilities do not drop ALL"
    if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if context.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
    profile = context.get("seccompProfile") or pod.get("seccompProfile") or {}
    if profile.get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "seccompProfile is not set"
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield "hostPort"
    yield from _hosts_of_probes(container)


def _hosts_of_probes(container: Spec) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(probe) for probe in _PROBES]
    handlers += [lifecycle.get(hook) for hook in ("postStart", "preStop")]
    for handler in filter(None, handlers):
        if any((handler.get(kind) or {}).get("host") for kind in _NETWORKED):
            yield "a probe or hook sends requests to another host"


_NETWORKED = ("httpGet", "tcpSocket")
