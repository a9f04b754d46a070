{{/* Web configurations that the exporter would refuse, and probes that would fail. */}}
{{- define "braze-exporter.validateWeb" -}}
{{- $values := .Values -}}
{{- $web := $values.webConfig | default dict -}}
{{- $place := "webConfig.tls_server_config" -}}
{{- with $web.tls_server_config -}}
{{- if and (not $values.tls.secretName) (not (and (or .cert .cert_file) (or .key .key_file))) -}}
{{- fail (printf "%s has no certificate; expected tls.secretName, or cert_file and key_file in an extra volume" $place) -}}
{{- end -}}
{{- range $option := list "cert" "key" "client_ca" -}}
{{- $file := printf "%s_file" $option -}}
{{- if and (get $web.tls_server_config $option) (get $web.tls_server_config $file) -}}
{{- fail (printf "%s.%s and %s are both set; expected one of the two" $place $option $file) -}}
{{- end -}}
{{- end -}}
{{- $clients := .client_auth_type | default "NoClientCert" -}}
{{- $option := ternary "client_ca_file" "client_ca" (not (empty .client_ca_file)) -}}
{{- $hasAuthority := or .client_ca .client_ca_file -}}
{{- if and $hasAuthority (eq $clients "NoClientCert") -}}
{{- fail (printf "%s.%s is unused, because client_auth_type is NoClientCert; expected client_auth_type: RequireAndVerifyClientCert" $place $option) -}}
{{- end -}}
{{- if and (not $hasAuthority) (ne $clients "NoClientCert") -}}
{{- fail (printf "%s.client_auth_type is %s, and there is no CA to verify clients; expected client_ca_file, for example %s/ca.crt" $place $clients (include "braze-exporter.tlsDirectory" $)) -}}
{{- end -}}
{{- if and .client_allowed_sans (ne $clients "RequireAndVerifyClientCert") -}}
{{- fail (printf "%s.client_allowed_sans is unused without client certificates; expected client_auth_type: RequireAndVerifyClientCert too" $place) -}}
{{- end -}}
{{- $probes := list $values.startupProbe.enabled $values.livenessProbe.enabled $values.readinessProbe.enabled $values.helmTest.enabled -}}
{{- if and .client_allowed_sans (has true $probes) (not $values.healthcheckCertificate.secretName) -}}
{{- fail (printf "%s.client_allowed_sans rejects the exporter's certificate, which probes and helm test use by default; expected healthcheckCertificate.secretName, a Secret whose certificate has one of these names (it may be that of tls.secretName)" $place) -}}
{{- end -}}
{{- if and .max_version (lt .max_version (.min_version | default "TLS12")) -}}
{{- fail (printf "%s.max_version is below min_version, %s; expected the same or a higher version" $place .min_version) -}}
{{- end -}}
{{- end -}}
{{- with $web.rate_limit -}}
{{- if and .interval (not .burst) (regexMatch "[1-9]" (toString .interval)) -}}
{{- fail "webConfig.rate_limit: without burst every request would be rejected; expected a burst of at least 1" -}}
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
