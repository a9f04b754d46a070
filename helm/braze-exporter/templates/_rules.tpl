{{/*
`groups:` of all rule files, with the changes of the values. The files are parsed as YAML and
written again, so that Prometheus' templates in them are not rendered.
*/}}
{{- define "braze-exporter.ruleGroups" -}}
{{- $values := .Values.prometheusRule -}}
{{- $groups := list -}}
{{- range $path, $_ := .Files.Glob "rules/*.yaml" -}}
{{- range ($.Files.Get $path | fromYaml).groups -}}
{{- $rules := list -}}
{{- range .rules -}}
{{- if not (and .alert (has .alert $values.disabledAlerts)) -}}
{{- $rules = append $rules (include "braze-exporter.rule" (dict "rule" . "values" $values) | fromYaml) -}}
{{- end -}}
{{- end -}}
{{- if $rules -}}
{{- $groups = append $groups (set . "rules" $rules) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "groups" (concat $groups ($values.extraGroups | default list))) -}}
{{- end -}}

{{/* One rule with the changes of the values. Takes `rule` and `values`. */}}
{{- define "braze-exporter.rule" -}}
{{- $rule := deepCopy .rule -}}
{{- $values := .values -}}
{{- if hasPrefix "braze:threshold:" ($rule.record | default "") -}}
{{- $kind := trimPrefix "braze:threshold:" $rule.record -}}
{{- $number := get (get ($values.thresholds | default dict) $rule.labels.alert | default dict) $kind -}}
{{- if kindIs "map" $number -}}
{{- $number = get $number ($rule.labels.severity | default "") -}}
{{- end -}}
{{- /* A fraction of --set is a text; without a threshold the text is empty. */ -}}
{{- if and (kindIs "string" $number) $number -}}
{{- $number = float64 $number -}}
{{- end -}}
{{- if not (or (kindIs "invalid" $number) (kindIs "string" $number)) -}}
{{- $_ := set $rule "expr" (printf "vector(%s)" (toJson $number)) -}}
{{- end -}}
{{- end -}}
{{- if $rule.alert -}}
{{- with $values.alertLabels -}}
{{- $_ := set $rule "labels" (merge (dict) . ($rule.labels | default dict)) -}}
{{- end -}}
{{- if and $values.grafanaUrl $rule.annotations.dashboard_url -}}
{{- $_ := set $rule.annotations "dashboard_url" (printf "%s%s" (trimSuffix "/" $values.grafanaUrl) $rule.annotations.dashboard_url) -}}
{{- end -}}
{{- end -}}
{{- toYaml $rule -}}
{{- end -}}

{{/*
Files that a copy of the chart has lost are an error: without them nothing would be rendered.
Takes `root`, `value`, the name of the value that requires them, and their `pattern`.
*/}}
{{- define "braze-exporter.requireFiles" -}}
{{- if not (.root.Files.Glob .pattern) -}}
{{- fail (printf "%s: this copy of the chart has no files %s; expected the chart of a release, or a complete checkout of the repository" .value .pattern) -}}
{{- end -}}
{{- end -}}

{{/* Lost files, unknown thresholds and unknown alerts are errors. */}}
{{- define "braze-exporter.validateRules" -}}
{{- include "braze-exporter.requireFiles" (dict "root" . "value" "prometheusRule.enabled" "pattern" "rules/*.yaml") -}}
{{- $alerts := dict -}}
{{- $thresholds := dict -}}
{{- range $path, $_ := .Files.Glob "rules/*.yaml" -}}
{{- range ($.Files.Get $path | fromYaml).groups -}}
{{- range .rules -}}
{{- if .alert -}}
{{- $_ := set $alerts .alert true -}}
{{- else if hasPrefix "braze:threshold:" .record -}}
{{- $kind := trimPrefix "braze:threshold:" .record -}}
{{- $place := printf "%s.%s" .labels.alert $kind -}}
{{- $_ := set $thresholds (ternary (printf "%s.%s" $place .labels.severity) $place (hasKey .labels "severity")) true -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.prometheusRule.disabledAlerts -}}
{{- if not (hasKey $alerts .) -}}
{{- fail (printf "prometheusRule.disabledAlerts: unknown alert %s; expected one of %s" . (keys $alerts | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- range $alert, $kinds := .Values.prometheusRule.thresholds -}}
{{- range $kind, $number := $kinds -}}
{{- $place := printf "%s.%s" $alert $kind -}}
{{- $places := list $place -}}
{{- if kindIs "map" $number -}}
{{- $places = list -}}
{{- range $severity, $_ := $number -}}
{{- $places = append $places (printf "%s.%s" $place $severity) -}}
{{- end -}}
{{- end -}}
{{- range $places -}}
{{- if not (hasKey $thresholds .) -}}
{{- fail (printf "prometheusRule.thresholds: unknown threshold %s; expected one of %s" . (keys $thresholds | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
