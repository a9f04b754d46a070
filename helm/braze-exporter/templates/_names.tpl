{{/* The chart's name in labels. No value changes it, because selectors are immutable. */}}
{{- define "braze-exporter.name" -}}
{{- .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
The name of all objects. It contains the name of the release, so that two releases differ.
Dots are replaced: the name of a Service may not contain them.
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

{{/* The Service that gives each shard's pod a host name. */}}
{{- define "braze-exporter.headlessName" -}}
{{- printf "%s-headless" (include "braze-exporter.fullname" .) -}}
{{- end -}}

{{/* The Deployment or StatefulSet, in kubectl's notation. */}}
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

{{/* The labels of selectors. Neither values nor an upgrade change them. */}}
{{- define "braze-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "braze-exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: exporter
{{- end -}}

{{/* The labels of the pod of `helm test`, which no selector of the exporter matches. */}}
{{- define "braze-exporter.testLabels" -}}
app.kubernetes.io/name: {{ include "braze-exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: test
{{- end -}}

{{/*
Name, namespace, labels and annotations of an object. Takes `root`, and optionally `suffix`
of the name, `namespace`, and additional `labels` and `annotations`. The chart's labels take
precedence, so that no value breaks a selector.
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

{{/* The pull secrets as a list of mappings with `name`, without duplicates. */}}
{{- define "braze-exporter.pullSecrets" -}}
{{- $names := list -}}
{{- range concat ((.Values.global | default dict).imagePullSecrets | default list) (.Values.imagePullSecrets | default list) -}}
{{- $names = append $names (ternary (dict "name" .) . (kindIs "string" .)) -}}
{{- end -}}
{{- with uniq $names }}{{ toYaml . }}{{ end -}}
{{- end -}}
