{{/* The pod template of the Deployment and of the StatefulSet. */}}
{{- define "braze-exporter.podTemplate" -}}
{{- $demo := include "braze-exporter.isDemo" . -}}
{{- $selected := include "braze-exporter.selectorLabels" . | fromYaml -}}
{{- $image := include "braze-exporter.image" . -}}
metadata:
  labels:
    {{- toYaml (merge (dict) $selected (.Values.podLabels | default dict) (.Values.commonLabels | default dict)) | nindent 4 }}
  {{- $annotations := merge (dict) (.Values.podAnnotations | default dict) (.Values.commonAnnotations | default dict) }}
  {{- $_ := set $annotations "kubectl.kubernetes.io/default-container" "exporter" }}
  {{- if .Values.checksumAnnotations }}
  {{- if not (include "braze-exporter.hasExistingConfig" .) }}
  {{- $_ := set $annotations "checksum/config" (include "braze-exporter.config" . | sha256sum) }}
  {{- end }}
  {{- $secrets := include "braze-exporter.webConfig" . }}
  {{- if $demo }}
  {{- $secrets = printf "%s%s" (include "braze-exporter.demoKey" .) $secrets }}
  {{- end }}
  {{- with $secrets }}
  {{- $_ := set $annotations "checksum/secret" (sha256sum .) }}
  {{- end }}
  {{- end }}
  annotations:
    {{- toYaml $annotations | nindent 4 }}
spec:
  {{- with include "braze-exporter.pullSecrets" . }}
  imagePullSecrets:
    {{- nindent 4 . }}
  {{- end }}
  serviceAccountName: {{ include "braze-exporter.serviceAccountName" . | quote }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automountToken }}
  # Variables of a Service with the name braze-exporter would look like those of flags.
  enableServiceLinks: false
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  terminationGracePeriodSeconds: {{ int64 .Values.terminationGracePeriodSeconds }}
  {{- if .Values.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with .Values.runtimeClassName }}
  runtimeClassName: {{ . | quote }}
  {{- end }}
  {{- with .Values.schedulerName }}
  schedulerName: {{ . | quote }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{- toYaml (ternary . (set (deepCopy .) "labelSelector" (dict "matchLabels" $selected)) (hasKey . "labelSelector")) | nindent 6 }}
    {{- end }}
  {{- end }}
  {{- with .Values.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.dnsPolicy | default (ternary "ClusterFirstWithHostNet" "" .Values.hostNetwork) }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- with .Values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if or .Values.extraInitContainers .Values.configCheck.enabled }}
  initContainers:
    {{- with .Values.extraInitContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if .Values.configCheck.enabled }}
    {{- include "braze-exporter.configCheck" . | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    - name: exporter
      image: {{ $image | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - {{ printf "--config.file=%s" (include "braze-exporter.configFile" .) | quote }}
        {{- if .Values.autoReload }}
        - --config.enable-auto-reload
        {{- end }}
        {{- if .Values.state.enabled }}
        - {{ printf "--state.path=%s" .Values.state.path | quote }}
        {{- end }}
        {{- if gt (int .Values.replicas) 1 }}
        - {{ printf "--replicas=%v" .Values.replicas | quote }}
        {{- end }}
        - {{ printf "--web.listen-address=:%v" .Values.web.port | quote }}
        - {{ printf "--web.telemetry-path=%s" .Values.web.telemetryPath | quote }}
        {{- with .Values.web.externalUrl }}
        - {{ printf "--web.external-url=%s" . | quote }}
        {{- end }}
        {{- with .Values.web.routePrefix }}
        - {{ printf "--web.route-prefix=%s" . | quote }}
        {{- end }}
        {{- if include "braze-exporter.hasWebConfig" . }}
        - {{ printf "--web.config.file=%s" (include "braze-exporter.webConfigFile" .) | quote }}
        {{- end }}
        {{- if .Values.web.enableLifecycle }}
        - --web.enable-lifecycle
        {{- end }}
        - {{ printf "--log.level=%s" .Values.log.level | quote }}
        - {{ printf "--log.format=%s" .Values.log.format | quote }}
        {{- range .Values.extraArgs }}
        - {{ . | quote }}
        {{- end }}
      {{- with include "braze-exporter.containerEnvironment" . | trim }}
      {{- nindent 6 . }}
      {{- end }}
      ports:
        - name: metrics
          containerPort: {{ .Values.web.port }}
          {{- if .Values.hostNetwork }}
          hostPort: {{ .Values.web.port }}
          {{- end }}
          protocol: TCP
      {{- if .Values.startupProbe.enabled }}
      startupProbe:
        {{- include "braze-exporter.probe" (dict "root" . "path" "/-/healthy" "probe" .Values.startupProbe) | nindent 8 }}
      {{- end }}
      {{- if .Values.livenessProbe.enabled }}
      livenessProbe:
        {{- include "braze-exporter.probe" (dict "root" . "path" "/-/healthy" "probe" .Values.livenessProbe) | nindent 8 }}
      {{- end }}
      {{- if .Values.readinessProbe.enabled }}
      readinessProbe:
        {{- include "braze-exporter.probe" (dict "root" . "path" "/-/ready" "probe" .Values.readinessProbe) | nindent 8 }}
      {{- end }}
      {{- with .Values.lifecycle }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        {{- include "braze-exporter.volumeMounts" . | trim | nindent 8 }}
    {{- if $demo }}
    - name: simulated-braze
      image: {{ $image | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - simulate
        - --listen-address=127.0.0.1:10418
      {{- with .Values.demo.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      {{- with .Values.existingConfig }}
      {{- if or .secret (and $.Values.configInSecret (not .configMap)) }}
      secret:
        secretName: {{ .secret | default (printf "%s-config" (include "braze-exporter.fullname" $)) | quote }}
        defaultMode: {{ $.Values.secretFileMode }}
      {{- else }}
      configMap:
        name: {{ .configMap | default (printf "%s-config" (include "braze-exporter.fullname" $)) | quote }}
      {{- end }}
        items:
          - key: {{ ternary .key "config.yaml" (not (empty (include "braze-exporter.hasExistingConfig" $))) | quote }}
            path: config.yaml
      {{- end }}
    {{- if or $demo .Values.apiKeys }}
    - name: keys
      projected:
        defaultMode: {{ .Values.secretFileMode }}
        sources:
          {{- if $demo }}
          - secret:
              name: {{ printf "%s-demo" (include "braze-exporter.fullname" .) | quote }}
              items:
                - key: api-key
                  path: demo
          {{- end }}
          {{- range .Values.apiKeys }}
          - secret:
              name: {{ .secretName | quote }}
              items:
                - key: {{ .key | quote }}
                  path: {{ .file | quote }}
          {{- end }}
    {{- end }}
    {{- with include "braze-exporter.webVolumes" . | trim }}
    {{- nindent 4 . }}
    {{- end }}
    {{- if and .Values.state.enabled (not (and .Values.sharding.enabled .Values.persistence.enabled)) }}
    - name: state
      {{- if .Values.persistence.enabled }}
      persistentVolumeClaim:
        claimName: {{ .Values.persistence.existingClaim | default (printf "%s-state" (include "braze-exporter.fullname" .)) | quote }}
      {{- else }}
      emptyDir:
        {{- if .Values.persistence.emptyDirSizeLimit }}
        sizeLimit: {{ .Values.persistence.emptyDirSizeLimit | quote }}
        {{- else }} {}
        {{- end }}
      {{- end }}
    {{- end }}
    - name: tmp
      emptyDir:
        medium: Memory
        sizeLimit: 8Mi
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
