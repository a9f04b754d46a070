{{/* Values that contradict each other, which values.schema.json cannot express. */}}
{{- define "braze-exporter.validate" -}}
{{- $values := .Values -}}
{{- $existing := include "braze-exporter.hasExistingConfig" . -}}
{{- if and $values.existingConfig.configMap $values.existingConfig.secret -}}
{{- fail "existingConfig.configMap and existingConfig.secret are both set; expected one of the two" -}}
{{- end -}}
{{- if and $existing $values.config -}}
{{- fail "config and existingConfig are both set; expected one of the two" -}}
{{- end -}}
{{- if and $values.config (not $values.config.workspaces) -}}
{{- fail "config has no workspaces; expected config.workspaces" -}}
{{- end -}}
{{- if and (include "braze-exporter.isDemo" .) (not $values.demo.enabled) -}}
{{- fail "there is no configuration; expected config.workspaces, existingConfig.configMap or existingConfig.secret (or demo.enabled=true for a demo)" -}}
{{- end -}}
{{- if and (include "braze-exporter.isDemo" .) (eq (int $values.web.port) 10418) -}}
{{- fail "web.port is 10418, the port of the demo's simulated Braze; expected another port" -}}
{{- end -}}
{{- if and $values.existingWebConfig.configMap $values.existingWebConfig.secret -}}
{{- fail "existingWebConfig.configMap and existingWebConfig.secret are both set; expected one of the two" -}}
{{- end -}}
{{- if and $values.webConfig (include "braze-exporter.hasExistingWebConfig" .) -}}
{{- fail "webConfig and existingWebConfig are both set; expected one of the two" -}}
{{- end -}}
{{- with $values.existingWebConfig -}}
{{- if and (or .tls .clientCertificates) (not (or .configMap .secret)) -}}
{{- fail "existingWebConfig.tls and clientCertificates require an object; expected existingWebConfig.secret or configMap too" -}}
{{- end -}}
{{- if and .clientCertificates (not .tls) -}}
{{- fail "existingWebConfig.clientCertificates is true without TLS; expected existingWebConfig.tls too" -}}
{{- end -}}
{{- end -}}
{{- include "braze-exporter.validateSecrets" . -}}
{{- include "braze-exporter.validateWeb" . -}}
{{- include "braze-exporter.validateMonitors" . -}}
{{- include "braze-exporter.validatePod" . -}}
{{- include "braze-exporter.validateNetwork" . -}}
{{- if and $values.persistence.existingClaim (not $values.persistence.enabled) -}}
{{- fail "persistence.existingClaim is unused without persistence.enabled; expected persistence.enabled=true too" -}}
{{- end -}}
{{- if and $values.persistence.enabled (not $values.state.enabled) -}}
{{- fail "persistence.enabled is true, and state.enabled is false; expected both or neither" -}}
{{- end -}}

{{- include "braze-exporter.validateReplicas" . -}}
{{- include "braze-exporter.validateSharding" . -}}

{{- $owners := dict
  "--config.file" "config or existingConfig"
  "--config.enable-auto-reload" "autoReload"
  "--no-config.enable-auto-reload" "autoReload"
  "--state.path" "state.path"
  "--replicas" "replicas"
  "--shard" "sharding.enabled"
  "--total-shards" "sharding.shards"
  "--web.listen-address" "web.port"
  "--web.telemetry-path" "web.telemetryPath"
  "--web.external-url" "web.externalUrl"
  "--web.route-prefix" "web.routePrefix"
  "--web.enable-lifecycle" "web.enableLifecycle"
  "--no-web.enable-lifecycle" "web.enableLifecycle"
  "--web.config.file" "webConfig or existingWebConfig"
  "--log.level" "log.level"
  "--log.format" "log.format" -}}
{{- range $flag, $owner := $owners -}}
{{- $variable := printf "BRAZE_EXPORTER_%s" (trimPrefix "--" $flag | replace "." "_" | replace "-" "_" | upper) -}}
{{- range $values.extraEnv -}}
{{- if eq .name $variable -}}
{{- fail (printf "extraEnv: the chart sets %s; expected the value %s instead" $variable $owner) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $values.extraArgs -}}
{{- $flag := regexFind "^[^=\\s]*" . -}}
{{- if hasKey $owners $flag -}}
{{- fail (printf "extraArgs: the chart sets %s; expected the value %s instead" $flag (get $owners $flag)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Secrets in manifests that more people can read than Secrets. */}}
{{- define "braze-exporter.validateSecrets" -}}
{{- $values := .Values -}}
{{- range $index, $workspace := ($values.config | default dict).workspaces -}}
{{- if and (regexMatch "//[^/@]*:.*@" ($workspace.proxy | default "")) (not $values.configInSecret) -}}
{{- fail (printf "config.workspaces[%d].proxy contains a password, and config is rendered into a ConfigMap; expected configInSecret: true" $index) -}}
{{- end -}}
{{- range $values.extraEnv -}}
{{- if and (eq .name ($workspace.api_key_env | default "")) .value (not (contains "$(" .value)) -}}
{{- fail (printf "extraEnv: the value of %s is an API key, and would be readable in the pod's manifest; expected valueFrom.secretKeyRef, or apiKeys" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Values that exclude several replicas. */}}
{{- define "braze-exporter.validateReplicas" -}}
{{- $values := .Values -}}
{{- if gt (int $values.replicas) 1 -}}
{{- if $values.sharding.enabled -}}
{{- fail (printf "replicas is %v, and sharding.enabled is true; expected the number of pods in sharding.shards" $values.replicas) -}}
{{- end -}}
{{- if $values.persistence.enabled -}}
{{- fail (printf "persistence.enabled: replicas is %v, and one claim cannot hold the state of several pods; expected persistence.enabled=false (each pod then has its state in an emptyDir)" $values.replicas) -}}
{{- end -}}
{{- if $values.scrapeConfig.enabled -}}
{{- fail (printf "scrapeConfig: replicas is %v, and the Service would lead each scrape to a different pod; expected serviceMonitor or podMonitor" $values.replicas) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Values that exclude several shards, and names that are too long for a StatefulSet. */}}
{{- define "braze-exporter.validateSharding" -}}
{{- if .Values.sharding.enabled -}}
{{- $name := include "braze-exporter.fullname" . -}}
{{- /* With a hash appended it is the value of a label, of at most 63 characters. */ -}}
{{- if gt (len $name) 52 -}}
{{- fail (printf "sharding.enabled: the name of a StatefulSet has at most 52 characters, and %s has %d; expected fullnameOverride with a shorter name" $name (len $name)) -}}
{{- end -}}
{{- range $option := list "existingClaim" "volumeName" -}}
{{- if get $.Values.persistence $option -}}
{{- fail (printf "persistence.%s is set, and each shard needs a different one; expected persistence.enabled alone" $option) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
