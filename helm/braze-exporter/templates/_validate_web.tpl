{{/* Web configurations that the chart alone can judge: the init container checks all others. */}}
{{- define "braze-exporter.validateWeb" -}}
{{- $values := .Values -}}
{{- with ($values.webConfig | default dict).tls_server_config -}}
{{- if and (not $values.tls.secretName) (not (and (or .cert .cert_file) (or .key .key_file))) -}}
{{- fail "webConfig.tls_server_config has no certificate; expected tls.secretName, or cert_file and key_file in an extra volume" -}}
{{- end -}}
{{- $probes := list $values.startupProbe.enabled $values.livenessProbe.enabled $values.readinessProbe.enabled $values.helmTest.enabled -}}
{{- if and .client_allowed_sans (has true $probes) (not $values.healthcheckCertificate.secretName) -}}
{{- fail "webConfig.tls_server_config.client_allowed_sans rejects the exporter's certificate, which probes and helm test use by default; expected healthcheckCertificate.secretName, a Secret whose certificate has one of these names (it may be that of tls.secretName)" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Monitors whose target would never be up. */}}
{{- define "braze-exporter.validateMonitors" -}}
{{- $ours := include "braze-exporter.namespace" . -}}
{{- $users := (include "braze-exporter.webConfig" . | fromYaml).basic_auth_users -}}
{{- range $name := list "serviceMonitor" "podMonitor" "scrapeConfig" -}}
{{- with get $.Values $name -}}
{{- if .enabled -}}
{{- $namespace := .namespace | default $ours -}}
{{- $tls := include "braze-exporter.monitorTls" (dict "root" $ "monitor" .) | fromYaml -}}
{{- if and (include "braze-exporter.hasTls" $) (empty $tls) -}}
{{- fail (printf "%s: there is no CA to verify the exporter's certificate; expected tls.caKey, or %s.tlsConfig with ca (or with serverName, if Prometheus trusts the CA already)" $name $name) -}}
{{- end -}}
{{- if and $tls (empty .tlsConfig) (ne $namespace $ours) -}}
{{- fail (printf "%s.namespace is %s, and the Secret of tls.caKey is in %s: the operator reads Secrets from the monitor's namespace; expected %s.tlsConfig with a ca in %s, or no %s.namespace" $name $namespace $ours $name $namespace $name) -}}
{{- end -}}
{{- if and (include "braze-exporter.requiresClientCertificates" $) (not (and (or $tls.cert $tls.certFile) (or $tls.keySecret $tls.keyFile))) -}}
{{- fail (printf "%s.tlsConfig: the exporter requires a client certificate; expected cert and keySecret, of a Secret in %s, in addition to ca and serverName" $name $namespace) -}}
{{- end -}}
{{- if and $users (empty .basicAuth) -}}
{{- fail (printf "%s: webConfig.basic_auth_users requires a password; expected %s.basicAuth, of a Secret in %s" $name $name $namespace) -}}
{{- end -}}
{{- if and .interval .scrapeTimeout (gt (include "braze-exporter.milliseconds" .scrapeTimeout | int64) (include "braze-exporter.milliseconds" .interval | int64)) -}}
{{- fail (printf "%s.scrapeTimeout is longer than %s.interval, which the operator refuses; expected the same or a shorter duration" $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The length of a Prometheus duration in milliseconds. */}}
{{- define "braze-exporter.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "w" 604800000 "y" 31536000000 -}}
{{- $total := 0 | int64 -}}
{{- range regexFindAll "[0-9]+[a-z]+" . -1 -}}
{{- $total = add $total (mul (regexFind "[0-9]+" . | int64) (get $units (regexFind "[a-z]+" .) | int64)) -}}
{{- end -}}
{{- $total -}}
{{- end -}}
