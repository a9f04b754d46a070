{{/*
How to scrape: what the three monitors of the Prometheus Operator share. Takes `root` and
`monitor`.
*/}}
{{- define "braze-exporter.scrape" -}}
{{- $root := .root -}}
{{- with .monitor -}}
{{- if .honorLabels }}
honorLabels: true
{{- end }}
{{- with .basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if include "braze-exporter.hasTls" $root }}
{{- $tls := .tlsConfig }}
{{- if and (not $tls) $root.Values.tls.secretName $root.Values.tls.caKey }}
{{- $ca := dict "secret" (dict "name" $root.Values.tls.secretName "key" $root.Values.tls.caKey) }}
{{- $tls = dict "ca" $ca "serverName" (include "braze-exporter.serviceHost" $root) }}
{{- end }}
{{- with $tls }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . | quote }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}
