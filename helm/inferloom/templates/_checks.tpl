{{/* What the schema cannot say. Each line names the key and the cure. */}}

{{- define "inferloom.checkNames" -}}
{{- $taken := dict -}}
{{- range $name, $_ := .Values.models -}}
{{- $slug := include "inferloom.slug" $name -}}
{{- if not $slug -}}
{{- fail (printf "models: '%s' has no letter or digit to name Kubernetes objects by; rename the entry and list the model under its `load`" $name) -}}
{{- end -}}
{{- if hasKey $taken $slug -}}
{{- fail (printf "models: '%s' and '%s' would both be '%s' in Kubernetes; rename one of the entries and list its model under `load`" (get $taken $slug) $name $slug) -}}
{{- end -}}
{{- $_ := set $taken $slug $name -}}
{{- $object := include "inferloom.modelObject" (dict "root" $ "name" $name) -}}
{{- if gt (len $object) 63 -}}
{{- fail (printf "models: '%s' makes the name '%s' of %d characters, and Kubernetes allows 63; shorten the entry and list the model under its `load`" $name $object (len $object)) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "inferloom.checkModel" -}}
{{- $place := printf "models.%s" .name -}}
{{- $sources := list -}}
{{- range list "pvc" "hostPath" "volume" -}}
{{- if index $.model.repository . -}}{{- $sources = append $sources . -}}{{- end -}}
{{- end -}}
{{- if ne (len $sources) 1 -}}
{{- fail (printf "%s.repository: give exactly one of pvc, hostPath and volume (given: %s)" $place (join ", " $sources | default "none")) -}}
{{- end -}}
{{- if and (has "*" .model.load) (gt (len .model.load) 1) -}}
{{- fail (printf "%s.load: \"*\" loads everything and stands alone" $place) -}}
{{- end -}}
{{- $release := .model.image.release | default (regexFind "^[0-9]{2}[.][0-9]{2}" .model.image.tag) -}}
{{- if not $release -}}
{{- fail (printf "%s.image: the tag '%s' does not begin with Triton's release; say which one is in it, such as release: \"25.10\"" $place .model.image.tag) -}}
{{- end -}}
{{- if lt $release "25.07" -}}
{{- fail (printf "%s.image: Triton %s has holes that can be exploited from the network (CVE-2025-23319 and its kin); use 25.07 or newer" $place $release) -}}
{{- end -}}
{{- range .model.tritonOptions -}}
{{- $option := regexFind "^--[a-z-]+" . -}}
{{- if has $option (list "--model-repository" "--model-store" "--model-control-mode" "--load-model" "--grpc-port" "--http-port" "--metrics-port" "--exit-timeout-secs" "--grpc-address" "--http-address" "--allow-grpc" "--allow-http") -}}
{{- fail (printf "%s.tritonOptions: %s is the chart's to set" $place $option) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "inferloom.checkTLS" -}}
{{- with .Values.consul.tls -}}
{{- if and .ca.secret .ca.configMap -}}
{{- fail "consul.tls.ca: give secret or configMap, not both" -}}
{{- end -}}
{{- if and (or .ca.secret .ca.configMap) (not .enabled) -}}
{{- fail "consul.tls.ca is given and consul.tls.enabled is false; set it to true" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.router.tls.clientCertificates (not .Values.router.tls.secret) -}}
{{- fail "router.tls.clientCertificates needs router.tls.secret, a Secret with tls.crt, tls.key and ca.crt" -}}
{{- end -}}
{{- end }}
