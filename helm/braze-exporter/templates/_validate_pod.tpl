{{/* Parts of the pod that Kubernetes would refuse, or that collide with the chart's. */}}
{{- define "braze-exporter.validatePod" -}}
{{- $values := .Values -}}
{{- include "braze-exporter.validateNames" (dict "option" "extraVolumes" "held" (list "config" "keys" "web-config" "tls" "client" "state" "tmp") "named" $values.extraVolumes) -}}
{{- $containers := concat ($values.extraInitContainers | default list) ($values.extraContainers | default list) -}}
{{- include "braze-exporter.validateNames" (dict "option" "extraInitContainers and extraContainers" "held" (list "exporter" "check-config" "simulated-braze") "named" $containers) -}}
{{- range $container := $containers -}}
{{- range .ports -}}
{{- if or (eq (.name | default "") "metrics") (eq (int .containerPort) (int $values.web.port)) -}}
{{- fail (printf "extraContainers: the port %v of %s is in use by the exporter; expected another port" (.name | default .containerPort) $container.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $held := list
  (include "braze-exporter.configFile" . | dir)
  (include "braze-exporter.keysDirectory" .)
  (include "braze-exporter.webConfigFile" . | dir)
  (include "braze-exporter.tlsDirectory" .)
  (include "braze-exporter.clientDirectory" .) -}}
{{- $writable := list "/tmp" -}}
{{- if .Values.state.enabled -}}
{{- include "braze-exporter.validatePath" (dict "place" "state.path" "path" $values.state.path "held" $held "writable" $writable) -}}
{{- $writable = append $writable (clean $values.state.path) -}}
{{- end -}}
{{- range $values.extraVolumeMounts -}}
{{- include "braze-exporter.validatePath" (dict "place" (printf "extraVolumeMounts: %s" .mountPath) "path" .mountPath "held" $held "writable" $writable) -}}
{{- end -}}

{{- if and (eq $values.dnsPolicy "None") (not ($values.dnsConfig | default dict).nameservers) -}}
{{- fail "dnsPolicy is None, which requires name servers; expected dnsConfig.nameservers" -}}
{{- end -}}
{{- end -}}

{{/* Names that are used already. Takes `option`, the used names `held`, and the list `named`. */}}
{{- define "braze-exporter.validateNames" -}}
{{- $held := .held -}}
{{- $option := .option -}}
{{- range .named -}}
{{- if has .name $held -}}
{{- fail (printf "%s: the name %s is used already; expected another name" $option .name) -}}
{{- end -}}
{{- $held = append $held .name -}}
{{- end -}}
{{- end -}}

{{/*
A path that equals or hides a mount of the chart, or that is in a read-only one. Takes
`place`, `path`, and the mounts of the chart: the read-only `held`, and `writable`.
*/}}
{{- define "braze-exporter.validatePath" -}}
{{- $place := .place -}}
{{- $path := clean .path -}}
{{- $below := printf "%s/" (trimSuffix "/" $path) -}}
{{- range concat .held .writable -}}
{{- if or (eq $path .) (hasPrefix $below .) -}}
{{- fail (printf "%s: the chart mounts %s; expected another path" $place .) -}}
{{- end -}}
{{- end -}}
{{- range .held -}}
{{- if hasPrefix (printf "%s/" .) $path -}}
{{- fail (printf "%s: the chart mounts %s, read-only; expected another path" $place .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Services and routes that Kubernetes would refuse, or that have no effect. */}}
{{- define "braze-exporter.validateNetwork" -}}
{{- $values := .Values -}}
{{- $name := include "braze-exporter.fullname" . -}}
{{- if regexMatch "^[0-9]" $name -}}
{{- fail (printf "%s begins with a digit, which is invalid for a Service; expected fullnameOverride, or another name of the release" $name) -}}
{{- end -}}
{{- with $values.service -}}
{{- if and (eq .clusterIP "None") (ne .type "ClusterIP") -}}
{{- fail (printf "service.type is %s, and service.clusterIP is None; expected type ClusterIP, or another clusterIP" .type) -}}
{{- end -}}
{{- if and .nodePort (eq .type "ClusterIP") -}}
{{- fail "service.nodePort is set, and service.type is ClusterIP; expected service.type NodePort or LoadBalancer" -}}
{{- end -}}
{{- if and (gt (len (.ipFamilies | default list)) 1) (not (hasSuffix "DualStack" .ipFamilyPolicy)) -}}
{{- fail "service.ipFamilies has two families; expected service.ipFamilyPolicy PreferDualStack or RequireDualStack" -}}
{{- end -}}
{{- end -}}
{{- if and $values.httpRoute.enabled (empty $values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs is empty; expected the gateway of the route" -}}
{{- end -}}
{{- if and $values.networkPolicy.enabled $values.networkPolicy.egress.enabled (empty $values.networkPolicy.egress.ports) -}}
{{- range $values.extraEnv -}}
{{- if and .valueFrom (has (lower .name) (list "http_proxy" "https_proxy" "all_proxy")) -}}
{{- fail (printf "extraEnv: the network policy cannot allow the port of %s, which is in another object; expected networkPolicy.egress.ports" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
