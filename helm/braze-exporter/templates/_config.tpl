{{/* Paths in the container. */}}
{{- define "braze-exporter.configFile" -}}/etc/braze-exporter/config/config.yaml{{- end -}}
{{- define "braze-exporter.webConfigFile" -}}/etc/braze-exporter/web/web-config.yaml{{- end -}}
{{- define "braze-exporter.keysDirectory" -}}/etc/braze-exporter/keys{{- end -}}
{{- define "braze-exporter.tlsDirectory" -}}/etc/braze-exporter/tls{{- end -}}
{{- define "braze-exporter.clientDirectory" -}}/etc/braze-exporter/client{{- end -}}

{{/* "true" if the configuration is an existing object. */}}
{{- define "braze-exporter.hasExistingConfig" -}}
{{- if or .Values.existingConfig.configMap .Values.existingConfig.secret }}true{{ end -}}
{{- end -}}

{{/* "true" if there is no configuration: the demo runs. */}}
{{- define "braze-exporter.isDemo" -}}
{{- if not (or .Values.config (include "braze-exporter.hasExistingConfig" .)) }}true{{ end -}}
{{- end -}}

{{/*
The text of the rendered configuration. Values are written as JSON, because `toYaml` omits
the quotes that texts such as = and << need.
*/}}
{{- define "braze-exporter.config" -}}
{{- if .Values.config -}}
{{- range $option, $value := omit .Values.config "workspaces" }}{{ $option }}: {{ toRawJson $value }}
{{ end -}}
workspaces:
{{- range $workspace := .Values.config.workspaces }}
  - name: {{ toRawJson .name }}
    {{- range $option, $value := include "braze-exporter.numbered" (omit . "name" "campaigns" "canvases") | fromJson }}
    {{ $option }}: {{ toRawJson $value }}
    {{- end }}
    {{- range $kind := list "campaigns" "canvases" }}
    {{- if or (eq $kind "campaigns") (hasKey $workspace $kind) }}
    {{ $kind }}:
      {{- range get $workspace $kind | default list }}
      - {{ toRawJson . }}
      {{- else }} []
      {{- end }}
    {{- end }}
    {{- end }}
{{- end }}
{{- else -}}
{{- .Files.Get "files/demo.yaml" | trimSuffix "\n" -}}
{{- end -}}
{{- end -}}

{{/*
A section of the configuration as JSON, with its numbers as numbers: Helm's --set passes a
fraction as a text.
*/}}
{{- define "braze-exporter.numbered" -}}
{{- $section := deepCopy . -}}
{{- range $option := list "requests_per_minute" "shared_requests_per_minute" -}}
{{- if and (hasKey $section $option) (kindIs "string" (get $section $option)) -}}
{{- $_ := set $section $option (float64 (get $section $option)) -}}
{{- end -}}
{{- end -}}
{{- with $section.discover -}}
{{- $_ := set $section "discover" (include "braze-exporter.numbered" . | fromJson) -}}
{{- end -}}
{{- toRawJson $section -}}
{{- end -}}

{{/* The key of the simulated Braze: a constant, and no secret. */}}
{{- define "braze-exporter.demoKey" -}}simulated-braze-key{{- end -}}

{{- define "braze-exporter.hasExistingWebConfig" -}}
{{- if or .Values.existingWebConfig.configMap .Values.existingWebConfig.secret }}true{{ end -}}
{{- end -}}

{{/* The text of the rendered web configuration, empty without one. */}}
{{- define "braze-exporter.webConfig" -}}
{{- $config := deepCopy (.Values.webConfig | default dict) -}}
{{- if .Values.tls.secretName -}}
{{- $directory := include "braze-exporter.tlsDirectory" . -}}
{{- $tls := $config.tls_server_config | default dict -}}
{{- if not (or $tls.cert $tls.cert_file) -}}
{{- $_ := set $tls "cert_file" (printf "%s/%s" $directory .Values.tls.certKey) -}}
{{- end -}}
{{- if not (or $tls.key $tls.key_file) -}}
{{- $_ := set $tls "key_file" (printf "%s/%s" $directory .Values.tls.keyKey) -}}
{{- end -}}
{{- $_ := set $config "tls_server_config" $tls -}}
{{- end -}}
{{- if and $config (not (include "braze-exporter.hasExistingWebConfig" .)) -}}
{{- range $option, $value := $config }}{{ $option }}: {{ toRawJson $value }}
{{ end -}}
{{- end -}}
{{- end -}}

{{- define "braze-exporter.hasWebConfig" -}}
{{- if or (include "braze-exporter.webConfig" .) (include "braze-exporter.hasExistingWebConfig" .) }}true{{ end -}}
{{- end -}}

{{/* "true" if TLS is enabled. */}}
{{- define "braze-exporter.hasTls" -}}
{{- if include "braze-exporter.hasExistingWebConfig" . -}}
{{- if .Values.existingWebConfig.tls }}true{{ end -}}
{{- else -}}
{{- with include "braze-exporter.webConfig" . | fromYaml }}{{ if .tls_server_config }}true{{ end }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* "true" if client certificates are required, which Kubernetes' HTTP probes do not have. */}}
{{- define "braze-exporter.requiresClientCertificates" -}}
{{- if include "braze-exporter.hasExistingWebConfig" . -}}
{{- if and .Values.existingWebConfig.tls .Values.existingWebConfig.clientCertificates }}true{{ end -}}
{{- else -}}
{{- with include "braze-exporter.webConfig" . | fromYaml -}}
{{- with .tls_server_config }}{{ if eq (.client_auth_type | default "") "RequireAndVerifyClientCert" }}true{{ end }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "braze-exporter.scheme" -}}
{{- if include "braze-exporter.hasTls" . }}https{{ else }}http{{ end -}}
{{- end -}}

{{/* The prefix of every path: empty, or `/like/this`. */}}
{{- define "braze-exporter.prefix" -}}
{{- $path := .Values.web.routePrefix | default (regexReplaceAll "^[a-z]+://[^/]*" .Values.web.externalUrl "") -}}
{{- $bare := trimAll "/" $path -}}
{{- if $bare }}/{{ $bare }}{{ end -}}
{{- end -}}

{{- define "braze-exporter.metricsPath" -}}
{{- printf "%s%s" (include "braze-exporter.prefix" .) .Values.web.telemetryPath -}}
{{- end -}}

{{/* Host name and port of the Service, for other pods. */}}
{{- define "braze-exporter.serviceHost" -}}
{{- printf "%s.%s.svc" (include "braze-exporter.fullname" .) (include "braze-exporter.namespace" .) -}}
{{- end -}}
{{- define "braze-exporter.servicePort" -}}
{{- ternary .Values.web.port .Values.service.port (eq .Values.service.clusterIP "None") -}}
{{- end -}}

{{/* The targets of a ScrapeConfig, as a list: the Service, or each shard. */}}
{{- define "braze-exporter.targets" -}}
{{- if .Values.sharding.enabled -}}
{{- $name := include "braze-exporter.fullname" . -}}
{{- $domain := printf "%s.%s.svc" (include "braze-exporter.headlessName" .) (include "braze-exporter.namespace" .) -}}
{{- range $number := until (int .Values.sharding.shards) }}
- {{ printf "%s-%d.%s:%v" $name $number $domain $.Values.web.port | quote }}
{{- end -}}
{{- else -}}
- {{ printf "%s:%v" (include "braze-exporter.serviceHost" .) (include "braze-exporter.servicePort" .) | quote }}
{{- end -}}
{{- end -}}

{{/* The flags of `healthcheck`, as a list. Takes `root` and `address`. */}}
{{- define "braze-exporter.healthcheck" -}}
{{- $root := .root -}}
- {{ printf "--web.listen-address=%s" .address | quote }}
{{- with include "braze-exporter.prefix" $root }}
- {{ printf "--web.route-prefix=%s" . | quote }}
{{- end }}
{{- if include "braze-exporter.hasWebConfig" $root }}
- {{ printf "--web.config.file=%s" (include "braze-exporter.webConfigFile" $root) | quote }}
{{- end }}
{{- with $root.Values.healthcheckCertificate }}
{{- if .secretName }}
- {{ printf "--client.cert-file=%s/%s" (include "braze-exporter.clientDirectory" $root) .certKey | quote }}
- {{ printf "--client.key-file=%s/%s" (include "braze-exporter.clientDirectory" $root) .keyKey | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
The ports for Braze, as JSON: of the endpoints, or of the proxies in the configuration or in
`extraEnv`. With NO_PROXY in `extraEnv` the ports of both the endpoints and the proxy.
*/}}
{{- define "braze-exporter.brazePorts" -}}
{{- $http := include "braze-exporter.proxy" (dict "root" . "name" "http_proxy") -}}
{{- $https := include "braze-exporter.proxy" (dict "root" . "name" "https_proxy") -}}
{{- $isPartly := not (empty (include "braze-exporter.variable" (dict "root" . "name" "no_proxy"))) -}}
{{- $urls := list -}}
{{- range (.Values.config | default dict).workspaces | default (list (dict "endpoint" "https://")) -}}
{{- $around := ternary $http $https (hasPrefix "http:" (lower .endpoint)) -}}
{{- $urls = append $urls (.proxy | default $around | default .endpoint) -}}
{{- if and $isPartly (not .proxy) -}}
{{- $urls = append $urls .endpoint -}}
{{- end -}}
{{- end -}}
{{- $ports := list -}}
{{- range $urls -}}
{{- $authority := regexReplaceAll "^([^:/?#]*://)?([^/?#]*).*$" . "${2}" -}}
{{- $usual := ternary "443" "80" (hasPrefix "https:" (lower .)) -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" $authority | trimPrefix ":" | default $usual | int) -}}
{{- end -}}
{{- toJson (uniq $ports | sortAlpha) -}}
{{- end -}}

{{/* The proxy of a scheme in `extraEnv`, with the exporter's precedence. */}}
{{- define "braze-exporter.proxy" -}}
{{- $all := include "braze-exporter.variable" (dict "root" .root "name" "all_proxy") -}}
{{- include "braze-exporter.variable" . | default $all -}}
{{- end -}}

{{/* A variable of `extraEnv`: lower case, even if empty, takes precedence over upper case. */}}
{{- define "braze-exporter.variable" -}}
{{- $named := dict -}}
{{- range .root.Values.extraEnv -}}
{{- $_ := set $named .name (.value | default "") -}}
{{- end -}}
{{- get $named (ternary .name (upper .name) (hasKey $named .name)) | trim -}}
{{- end -}}
