{{/* The chart's name in labels. No value changes it, for selectors could not follow. */}}
{{- define "braze-exporter.name" -}}
{{- .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
The name of all objects. It always holds the release's, so that two releases differ, without
the dots that a Service's name may not have.
*/}}
{{- define "braze-exporter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- if contains $name $release -}}
{{- $release | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" $release $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Service that gives each shard's pod a name of its own. */}}
{{- define "braze-exporter.headlessName" -}}
{{- printf "%s-headless" (include "braze-exporter.fullname" .) -}}
{{- end -}}

{{/* What makes the pods, as kubectl names it. */}}
{{- define "braze-exporter.workload" -}}
{{- printf "%s/%s" (ternary "statefulset" "deployment" .Values.sharding.enabled) (include "braze-exporter.fullname" .) -}}
{{- end -}}

{{- define "braze-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "braze-exporter.serviceAccountName" -}}
{{- $own := ternary (include "braze-exporter.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $own .Values.serviceAccount.name -}}
{{- end -}}

{{/* What selectors select by: neither values nor an upgrade change it. */}}
{{- define "braze-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "braze-exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: exporter
{{- end -}}

{{/* The same for the pod of `helm test`, which no selector of ours may take for the exporter. */}}
{{- define "braze-exporter.testLabels" -}}
app.kubernetes.io/name: {{ include "braze-exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: test
{{- end -}}

{{/*
Name, namespace, labels and annotations of an object. Takes `root`; may take `suffix` of the
name, `namespace`, and `labels` and `annotations` beside the common ones. Ours win over
others' labels, so that no value can turn a selector away.
*/}}
{{- define "braze-exporter.metadata" -}}
{{- $root := .root -}}
{{- $ours := dict
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" ($root.Chart.AppVersion | replace "+" "_" | trunc 63)
  "app.kubernetes.io/managed-by" $root.Release.Service
  "app.kubernetes.io/part-of" "braze-exporter" -}}
{{- $selected := include "braze-exporter.selectorLabels" $root | fromYaml -}}
{{- $labels := merge (dict) $selected $ours (.labels | default dict) ($root.Values.commonLabels | default dict) -}}
{{- $annotations := merge (dict) (.annotations | default dict) ($root.Values.commonAnnotations | default dict) -}}
name: {{ printf "%s%s" (include "braze-exporter.fullname" $root) (.suffix | default "") | quote }}
namespace: {{ .namespace | default (include "braze-exporter.namespace" $root) | quote }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "braze-exporter.image" -}}
{{- $image := .Values.image -}}
{{- $registry := default $image.registry (.Values.global | default dict).imageRegistry -}}
{{- $name := ternary (printf "%s/%s" $registry $image.repository) $image.repository (not (empty $registry)) -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* A list of mappings with `name`, each once, from names and mappings. */}}
{{- define "braze-exporter.pullSecrets" -}}
{{- $names := list -}}
{{- range concat ((.Values.global | default dict).imagePullSecrets | default list) (.Values.imagePullSecrets | default list) -}}
{{- $names = append $names (ternary (dict "name" .) . (kindIs "string" .)) -}}
{{- end -}}
{{- with uniq $names }}{{ toYaml . }}{{ end -}}
{{- end -}}
