{{/* The environment variables, as a list: those of the chart, and `extraEnv`. */}}
{{- define "braze-exporter.environment" -}}
{{- if .Values.sharding.enabled }}
- name: BRAZE_EXPORTER_SHARD
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: BRAZE_EXPORTER_TOTAL_SHARDS
  value: {{ .Values.sharding.shards | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* `env` and `envFrom` of the exporter's container and of its init container. */}}
{{- define "braze-exporter.containerEnvironment" -}}
{{- with include "braze-exporter.environment" . | trim }}
env:
  {{- nindent 2 . }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The mounts of the exporter's container and of its init container, as a list. */}}
{{- define "braze-exporter.volumeMounts" -}}
# Directories: Kubernetes never updates a file that is mounted by subPath.
- name: config
  mountPath: {{ include "braze-exporter.configFile" . | dir | quote }}
  readOnly: true
{{- if or (include "braze-exporter.isDemo" .) .Values.apiKeys }}
- name: keys
  mountPath: {{ include "braze-exporter.keysDirectory" . | quote }}
  readOnly: true
{{- end }}
{{- with include "braze-exporter.webVolumeMounts" . | trim }}
{{ . }}
{{- end }}
{{- if .Values.state.enabled }}
- name: state
  mountPath: {{ .Values.state.path | quote }}
{{- end }}
- name: tmp
  mountPath: /tmp
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The init container that fails, with the exporter's message, on an invalid configuration. */}}
{{- define "braze-exporter.configCheck" -}}
- name: check-config
  image: {{ include "braze-exporter.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args:
    - check
    - {{ printf "--config.file=%s" (include "braze-exporter.configFile" .) | quote }}
    {{- if include "braze-exporter.hasWebConfig" . }}
    - {{ printf "--web.config.file=%s" (include "braze-exporter.webConfigFile" .) | quote }}
    {{- end }}
    {{- if gt (int .Values.replicas) 1 }}
    - {{ printf "--replicas=%v" .Values.replicas | quote }}
    {{- end }}
  {{- with include "braze-exporter.containerEnvironment" . | trim }}
  {{- nindent 2 . }}
  {{- end }}
  {{- with .Values.configCheck.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.securityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    {{- include "braze-exporter.volumeMounts" . | trim | nindent 4 }}
{{- end -}}

{{/* The specification of the claim for the state. */}}
{{- define "braze-exporter.claim" -}}
{{- with .Values.persistence -}}
accessModes:
  {{- toYaml .accessModes | nindent 2 }}
{{- if .storageClass }}
storageClassName: {{ ternary "" .storageClass (eq .storageClass "-") | quote }}
{{- end }}
{{- with .volumeName }}
volumeName: {{ . | quote }}
{{- end }}
{{- with .selector }}
selector:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  requests:
    storage: {{ .size | quote }}
{{- end -}}
{{- end -}}

{{/* The volumes of the web configuration, as a list. */}}
{{- define "braze-exporter.webVolumes" -}}
{{- $mode := .Values.secretFileMode -}}
{{- if include "braze-exporter.hasWebConfig" . }}
- name: web-config
  {{- with .Values.existingWebConfig }}
  {{- if .configMap }}
  configMap:
    name: {{ .configMap | quote }}
    items:
      - key: {{ .key | quote }}
        path: web-config.yaml
  {{- else }}
  secret:
    secretName: {{ .secret | default (printf "%s-web-config" (include "braze-exporter.fullname" $)) | quote }}
    defaultMode: {{ $mode }}
    items:
      - key: {{ ternary .key "web-config.yaml" (not (empty .secret)) | quote }}
        path: web-config.yaml
  {{- end }}
  {{- end }}
{{- end }}
{{- if .Values.tls.secretName }}
- name: tls
  secret:
    secretName: {{ .Values.tls.secretName | quote }}
    defaultMode: {{ $mode }}
{{- end }}
{{- if .Values.healthcheckCertificate.secretName }}
- name: client
  secret:
    secretName: {{ .Values.healthcheckCertificate.secretName | quote }}
    defaultMode: {{ $mode }}
{{- end }}
{{- end -}}

{{- define "braze-exporter.webVolumeMounts" -}}
{{- if include "braze-exporter.hasWebConfig" . }}
- name: web-config
  mountPath: {{ include "braze-exporter.webConfigFile" . | dir | quote }}
  readOnly: true
{{- end }}
{{- if .Values.tls.secretName }}
- name: tls
  mountPath: {{ include "braze-exporter.tlsDirectory" . | quote }}
  readOnly: true
{{- end }}
{{- if .Values.healthcheckCertificate.secretName }}
- name: client
  mountPath: {{ include "braze-exporter.clientDirectory" . | quote }}
  readOnly: true
{{- end }}
{{- end -}}

{{/*
A probe. Takes `root`, `path` and `probe`. If client certificates are required, it runs
`healthcheck` in the container, because HTTP probes have no certificate.
*/}}
{{- define "braze-exporter.probe" -}}
{{- if include "braze-exporter.requiresClientCertificates" .root -}}
exec:
  command:
    - braze-exporter
    - healthcheck
    - {{ ternary "--ready" "--no-ready" (eq .path "/-/ready") }}
    {{- include "braze-exporter.healthcheck" (dict "root" .root "address" (printf ":%v" .root.Values.web.port)) | nindent 4 }}
{{- else -}}
httpGet:
  path: {{ printf "%s%s" (include "braze-exporter.prefix" .root) .path | quote }}
  port: metrics
  scheme: {{ include "braze-exporter.scheme" .root | upper }}
{{- end }}
{{ toYaml (omit .probe "enabled") }}
{{- end -}}
