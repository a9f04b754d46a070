{{/* Parts of the pod that collide with the chart's, and that Kubernetes accepts. */}}
{{- define "braze-exporter.validatePod" -}}
{{- $values := .Values -}}
{{- include "braze-exporter.validateStrategy" . -}}
{{- $containers := concat ($values.extraInitContainers | default list) ($values.extraContainers | default list) -}}
{{- range $container := $containers -}}
{{- range .ports -}}
{{- if or (eq (.name | default "") "metrics") (eq (int .containerPort) (int $values.web.port)) -}}
{{- fail (printf "extraContainers: the port %v of %s is in use by the exporter; expected another port" (.name | default .containerPort) $container.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $held := list
  (include "braze-exporter.configFile" . | dir)
  (include "braze-exporter.keysDirectory" .)
  (include "braze-exporter.webConfigFile" . | dir)
  (include "braze-exporter.tlsDirectory" .)
  (include "braze-exporter.clientDirectory" .) -}}
{{- $writable := list "/tmp" -}}
{{- if .Values.state.enabled -}}
{{- include "braze-exporter.validatePath" (dict "place" "state.path" "path" $values.state.path "held" $held "writable" $writable) -}}
{{- $writable = append $writable (clean $values.state.path) -}}
{{- end -}}
{{- range $values.extraVolumeMounts -}}
{{- include "braze-exporter.validatePath" (dict "place" (printf "extraVolumeMounts: %s" .mountPath) "path" .mountPath "held" $held "writable" $writable) -}}
{{- end -}}
{{- end -}}

{{/* A strategy of the other kind of workload, or with two pods on one state. */}}
{{- define "braze-exporter.validateStrategy" -}}
{{- with .Values.strategy -}}
{{- $type := .type | default "RollingUpdate" -}}
{{- if and $.Values.sharding.enabled (not (has $type (list "RollingUpdate" "OnDelete"))) -}}
{{- fail (printf "strategy.type is %s, and sharding.enabled renders a StatefulSet; expected RollingUpdate or OnDelete" $type) -}}
{{- end -}}
{{- if and (not $.Values.sharding.enabled) (not (has $type (list "RollingUpdate" "Recreate"))) -}}
{{- fail (printf "strategy.type is %s, and without sharding.enabled there is a Deployment; expected RollingUpdate or Recreate" $type) -}}
{{- end -}}
{{- $surge := (.rollingUpdate | default dict).maxSurge -}}
{{- $isSurging := or (kindIs "invalid" $surge) (not (has (toString $surge) (list "0" "0%"))) -}}
{{- if and $.Values.persistence.enabled (not $.Values.sharding.enabled) (eq $type "RollingUpdate") $isSurging -}}
{{- fail "strategy: with persistence.enabled a second pod would write to the same state; expected type Recreate, or rollingUpdate.maxSurge 0" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
A path that equals or hides a mount of the chart, or that is in a read-only one. Takes
`place`, `path`, and the mounts of the chart: the read-only `held`, and `writable`.
*/}}
{{- define "braze-exporter.validatePath" -}}
{{- $place := .place -}}
{{- $path := clean .path -}}
{{- $below := printf "%s/" (trimSuffix "/" $path) -}}
{{- range concat .held .writable -}}
{{- if or (eq $path .) (hasPrefix $below .) -}}
{{- fail (printf "%s: the chart mounts %s; expected another path" $place .) -}}
{{- end -}}
{{- end -}}
{{- range .held -}}
{{- if hasPrefix (printf "%s/" .) $path -}}
{{- fail (printf "%s: the chart mounts %s, read-only; expected another path" $place .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Routes that have no effect, and proxies that a network policy would block. */}}
{{- define "braze-exporter.validateNetwork" -}}
{{- $values := .Values -}}
{{- if and $values.httpRoute.enabled (empty $values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs is empty; expected the gateway of the route" -}}
{{- end -}}
{{- if and $values.networkPolicy.enabled $values.networkPolicy.egress.enabled (empty $values.networkPolicy.egress.ports) -}}
{{- range $values.extraEnv -}}
{{- if and .valueFrom (has (lower .name) (list "http_proxy" "https_proxy" "all_proxy")) -}}
{{- fail (printf "extraEnv: the network policy cannot allow the port of %s, which is in another object; expected networkPolicy.egress.ports" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
