{{/* What Kubernetes would refuse, or what would take the place of something of ours. */}}
{{- define "braze-exporter.validatePod" -}}
{{- $values := .Values -}}
{{- include "braze-exporter.validateNames" (dict "option" "extraVolumes" "held" (list "config" "keys" "web-config" "tls" "client" "state" "tmp") "named" $values.extraVolumes) -}}
{{- $containers := concat ($values.extraInitContainers | default list) ($values.extraContainers | default list) -}}
{{- include "braze-exporter.validateNames" (dict "option" "extraInitContainers and extraContainers" "held" (list "exporter" "check-config" "simulated-braze") "named" $containers) -}}
{{- range $container := $containers -}}
{{- range .ports -}}
{{- if or (eq (.name | default "") "metrics") (eq (int .containerPort) (int $values.web.port)) -}}
{{- fail (printf "extraContainers: the port %v of %s is the exporter's own; expected another" (.name | default .containerPort) $container.name) -}}
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
{{- fail "dnsPolicy is None, so that no name would be found; expected dnsConfig.nameservers" -}}
{{- end -}}
{{- end -}}

{{/* Takes `option`, the names that are `held`, and a list of what is `named`. */}}
{{- define "braze-exporter.validateNames" -}}
{{- $held := .held -}}
{{- $option := .option -}}
{{- range .named -}}
{{- if has .name $held -}}
{{- fail (printf "%s: the name %s is taken; expected another" $option .name) -}}
{{- end -}}
{{- $held = append $held .name -}}
{{- end -}}
{{- end -}}

{{/*
A path that is, or hides, one of our mounts, or is in one that nothing can be made in. Takes
`place`, `path`, and our mounts: those that are `held` read-only, and those `writable`.
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

{{/* Services and routes that Kubernetes would refuse, or that lead nowhere. */}}
{{- define "braze-exporter.validateNetwork" -}}
{{- $values := .Values -}}
{{- $name := include "braze-exporter.fullname" . -}}
{{- if regexMatch "^[0-9]" $name -}}
{{- fail (printf "%s begins with a digit, which the name of a Service may not; expected fullnameOverride, or another name of the release" $name) -}}
{{- end -}}
{{- with $values.service -}}
{{- if and (eq .clusterIP "None") (ne .type "ClusterIP") -}}
{{- fail (printf "service.type is %s, which a headless Service cannot have; expected type ClusterIP, or no clusterIP: None" .type) -}}
{{- end -}}
{{- if and .nodePort (eq .type "ClusterIP") -}}
{{- fail "service.nodePort is for no Service of type ClusterIP; expected service.type NodePort or LoadBalancer" -}}
{{- end -}}
{{- if and (gt (len (.ipFamilies | default list)) 1) (not (hasSuffix "DualStack" .ipFamilyPolicy)) -}}
{{- fail "service.ipFamilies are two; expected service.ipFamilyPolicy to be PreferDualStack or RequireDualStack" -}}
{{- end -}}
{{- end -}}
{{- if and $values.httpRoute.enabled (empty $values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs is empty; expected a gateway that the route belongs to" -}}
{{- end -}}
{{- if and $values.networkPolicy.enabled $values.networkPolicy.egress.enabled (empty $values.networkPolicy.egress.ports) -}}
{{- range $values.extraEnv -}}
{{- if and .valueFrom (has (lower .name) (list "http_proxy" "https_proxy" "all_proxy")) -}}
{{- fail (printf "extraEnv: the chart cannot see the port of %s to let it through; expected networkPolicy.egress.ports" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
