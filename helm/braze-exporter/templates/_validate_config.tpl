{{/*
What the exporter would refuse of a configuration: too late, as the one before ends first.
*/}}
{{- define "braze-exporter.validateConfig" -}}
{{- $values := .Values -}}
{{- with $values.config -}}
{{- include "braze-exporter.validateDurations" (dict "place" "config." "options" . "bounds" (dict "stale_after" (list "1ms" "365d"))) -}}
{{- $windows := list -}}
{{- range $index, $window := .windows -}}
{{- $place := printf "config.windows[%d]" $index -}}
{{- include "braze-exporter.validateDurations" (dict "place" "config." "options" (dict (printf "windows[%d]" $index) $window) "bounds" (dict (printf "windows[%d]" $index) (list "1d" "98d"))) -}}
{{- $length := include "braze-exporter.milliseconds" $window -}}
{{- if mod (int64 $length) 86400000 -}}
{{- fail (printf "%s: expected whole days, such as 7d" $place) -}}
{{- end -}}
{{- if has $length $windows -}}
{{- fail (printf "%s: %s is already used; expected it only once" $place $window) -}}
{{- end -}}
{{- $windows = append $windows $length -}}
{{- end -}}
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
{{- include "braze-exporter.validateDurations" (dict "place" (printf "%s." $place) "options" $workspace "bounds" (dict
  "interval" (list "1s" "7d")
  "idle_interval" (list "1s" "7d")
  "timeout" (list "1ms" "10m"))) -}}
{{- with $workspace.discover -}}
{{- include "braze-exporter.validateDurations" (dict "place" (printf "%s.discover." $place) "options" . "bounds" (dict
  "list_interval" (list "1s" "7d")
  "sent_within" (list "1h" "3650d")
  "grace" (list "0s" "90d"))) -}}
{{- end -}}
{{- $taken := dict -}}
{{- range $number, $campaign := $workspace.campaigns -}}
{{- include "braze-exporter.validateDurations" (dict "place" (printf "%s.campaigns[%d]." $place $number) "options" $campaign "bounds" (dict "interval" (list "1s" "7d"))) -}}
{{- range $option := list "id" "name" -}}
{{- $text := get $campaign $option -}}
{{- $held := printf "%s %s" $option (ternary (lower $text) $text (eq $option "id")) -}}
{{- if hasKey $taken $held -}}
{{- fail (printf "%s.campaigns[%d].%s: %q is already used; expected it only once in a workspace" $place $number $option $text) -}}
{{- end -}}
{{- $_ := set $taken $held true -}}
{{- end -}}
{{- end -}}
{{- include "braze-exporter.validateKey" (dict "workspace" $workspace "place" $place) -}}
{{- if and (regexMatch "//[^/@]*:.*@" ($workspace.proxy | default "")) (not $values.configInSecret) -}}
{{- fail (printf "%s.proxy has a password, which a ConfigMap shows to many; expected configInSecret: true too" $place) -}}
{{- end -}}
{{- range $values.extraEnv -}}
{{- if and (eq .name ($workspace.api_key_env | default "")) .value (not (contains "$(" .value)) -}}
{{- fail (printf "extraEnv: %s has the key itself as its value, which the pod's manifest shows; expected valueFrom.secretKeyRef, or apiKeys" .name) -}}
{{- end -}}
{{- end -}}
{{- $scheme := regexFind "^[^:]*" $workspace.endpoint | lower -}}
{{- if and (eq $scheme "http") (not $workspace.allow_http) (not (regexMatch "://(?i:localhost|127[.][0-9.]+|\\[::1\\])(:[0-9]+)?/?$" $workspace.endpoint)) -}}
{{- fail (printf "%s.endpoint: http:// would send the key unencrypted; expected https:// (or, if this is wanted, allow_http: true)" $place) -}}
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
{{- end -}}

{{/* A key in the place of its variable or file would be there for all to see: no text holds it. */}}
{{- define "braze-exporter.validateKey" -}}
{{- $isKey := "(?i)(^\\s*bearer\\s|[0-9a-f-]{20})" -}}
{{- with .workspace.api_key_env -}}
{{- if or (regexMatch $isKey .) (not (regexMatch "^[A-Za-z_][A-Za-z0-9_]*$" .)) -}}
{{- fail (printf "%s.api_key_env: expected the name of an environment variable, such as BRAZE_API_KEY; a key itself belongs into a Secret" $.place) -}}
{{- end -}}
{{- end -}}
{{- with .workspace.api_key_file -}}
{{- if regexMatch $isKey (ternary . (base .) (regexMatch "(?i)^\\s*bearer\\s" .)) -}}
{{- fail (printf "%s.api_key_file: this looks like a key itself; expected the path of a file, and the key in a Secret" $.place) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Takes `place`, `options`, and `bounds`: the least and the most by option. */}}
{{- define "braze-exporter.validateDurations" -}}
{{- range $option, $bounds := .bounds -}}
{{- with get $.options $option -}}
{{- $length := include "braze-exporter.milliseconds" . | int64 -}}
{{- if or (lt $length (include "braze-exporter.milliseconds" (first $bounds) | int64)) (gt $length (include "braze-exporter.milliseconds" (last $bounds) | int64)) -}}
{{- fail (printf "%s%s is %s; expected %s to %s" $.place $option . (first $bounds) (last $bounds)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* How long a duration of Prometheus is. */}}
{{- define "braze-exporter.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "w" 604800000 "y" 31536000000 -}}
{{- $total := 0 | int64 -}}
{{- range regexFindAll "[0-9]+[a-z]+" . -1 -}}
{{- $total = add $total (mul (regexFind "[0-9]+" . | int64) (get $units (regexFind "[a-z]+" .) | int64)) -}}
{{- end -}}
{{- $total -}}
{{- end -}}
