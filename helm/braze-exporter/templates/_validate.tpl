{{/*
What values.schema.json cannot say: values that contradict each other, with the way out.
*/}}
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
{{- fail "there is no configuration; expected config.workspaces, existingConfig.configMap or existingConfig.secret, or demo.enabled=true to see it work without" -}}
{{- end -}}
{{- if and (include "braze-exporter.isDemo" .) (eq (int $values.web.port) 10418) -}}
{{- fail "web.port is 10418, where the demo's simulated Braze listens; expected another" -}}
{{- end -}}
{{- if and $values.existingWebConfig.configMap $values.existingWebConfig.secret -}}
{{- fail "existingWebConfig.configMap and existingWebConfig.secret are both set; expected one of the two" -}}
{{- end -}}
{{- if and $values.webConfig (include "braze-exporter.hasExistingWebConfig" .) -}}
{{- fail "webConfig and existingWebConfig are both set; expected one of the two" -}}
{{- end -}}
{{- include "braze-exporter.validateWeb" . -}}
{{- include "braze-exporter.validateMonitors" . -}}
{{- include "braze-exporter.validatePod" . -}}
{{- include "braze-exporter.validateNetwork" . -}}
{{- if and $values.persistence.enabled (not $values.state.enabled) -}}
{{- fail "persistence.enabled keeps a state that state.enabled=false turns off; expected both or neither" -}}
{{- end -}}

{{- $files := dict -}}
{{- if include "braze-exporter.isDemo" . -}}
{{- $_ := set $files "demo" true -}}
{{- end -}}
{{- range $values.apiKeys -}}
{{- if hasKey $files .file -}}
{{- fail (printf "apiKeys: two keys have the file %q; expected each to have its own" .file) -}}
{{- end -}}
{{- $_ := set $files .file true -}}
{{- end -}}
{{- $directory := printf "%s/" (include "braze-exporter.keysDirectory" .) -}}
{{- $names := dict -}}
{{- range $index, $workspace := ($values.config | default dict).workspaces -}}
{{- $place := printf "config.workspaces[%d]" $index -}}
{{- if hasKey $names $workspace.name -}}
{{- fail (printf "%s.name: %q is already used; expected it only once" $place $workspace.name) -}}
{{- end -}}
{{- $_ := set $names $workspace.name true -}}
{{- $taken := dict -}}
{{- range $number, $campaign := $workspace.campaigns -}}
{{- range $option := list "id" "name" -}}
{{- $text := get $campaign $option -}}
{{- $held := printf "%s %s" $option (ternary (lower $text) $text (eq $option "id")) -}}
{{- if hasKey $taken $held -}}
{{- fail (printf "%s.campaigns[%d].%s: %q is already used; expected it only once in a workspace" $place $number $option $text) -}}
{{- end -}}
{{- $_ := set $taken $held true -}}
{{- end -}}
{{- end -}}
{{- if and $workspace.api_key_file $workspace.api_key_env -}}
{{- fail (printf "%s has api_key_file and api_key_env; expected one of the two" $place) -}}
{{- end -}}
{{- if not (or $workspace.api_key_file $workspace.api_key_env) -}}
{{- fail (printf "%s: where is the key? expected api_key_file: %sFILE, and that FILE in apiKeys" $place $directory) -}}
{{- end -}}
{{- $file := $workspace.api_key_file | default "" -}}
{{- if and (hasPrefix $directory $file) (not (hasKey $files (trimPrefix $directory $file))) -}}
{{- fail (printf "%s.api_key_file: no entry of apiKeys has `file: %s`" $place (trimPrefix $directory $file)) -}}
{{- end -}}
{{- end -}}

{{- $owners := dict
  "--config.file" "config or existingConfig"
  "--config.enable-auto-reload" "autoReload"
  "--no-config.enable-auto-reload" "autoReload"
  "--state.path" "state.path"
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
{{- fail (printf "extraEnv: %s belongs to the value %s; expected it there" $variable $owner) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $values.extraArgs -}}
{{- $flag := regexFind "^[^=\\s]*" . -}}
{{- if hasKey $owners $flag -}}
{{- fail (printf "extraArgs: %s belongs to the value %s; expected it there" $flag (get $owners $flag)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
