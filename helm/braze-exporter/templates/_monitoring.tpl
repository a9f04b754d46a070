{{/*
`tlsConfig` of a monitor: its own, or else the CA of `tls.caKey`. Takes `root` and
`monitor`.
*/}}
{{- define "braze-exporter.monitorTls" -}}
{{- $values := .root.Values -}}
{{- if include "braze-exporter.hasTls" .root -}}
{{- if .monitor.tlsConfig -}}
{{- toYaml .monitor.tlsConfig -}}
{{- else if and $values.tls.secretName $values.tls.caKey -}}
{{- $ca := dict "secret" (dict "name" $values.tls.secretName "key" $values.tls.caKey) -}}
{{- toYaml (dict "ca" $ca "serverName" (include "braze-exporter.serviceHost" .root)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The limits and the scrape class that all three monitors have. Takes the monitor. */}}
{{- define "braze-exporter.scrapeLimits" -}}
{{- with .scrapeClass }}
scrapeClass: {{ . | quote }}
{{- end }}
{{- range $limit := list "sampleLimit" "targetLimit" "labelLimit" }}
{{- with get $ $limit }}
{{ $limit }}: {{ int64 . }}
{{- end }}
{{- end }}
{{- with .bodySizeLimit }}
bodySizeLimit: {{ . | quote }}
{{- end }}
{{- end -}}

{{/*
The fields of a scrape that all three monitors have. Takes `root` and `monitor`.
*/}}
{{- define "braze-exporter.scrape" -}}
{{- $root := .root -}}
{{- with .monitor -}}
{{- if .honorLabels }}
honorLabels: true
{{- end }}
{{- if kindIs "bool" .honorTimestamps }}
honorTimestamps: {{ .honorTimestamps }}
{{- end }}
{{- with .proxyUrl }}
proxyUrl: {{ . | quote }}
{{- end }}
{{- with .basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "braze-exporter.monitorTls" (dict "root" $root "monitor" .) }}
tlsConfig:
  {{- nindent 2 . }}
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
