{{/* What the schema cannot say. Each line names the key and the cure. */}}

{{/* Takes root, component and key: where its entries are among the values. */}}
{{- define "inferloom.checkNames" -}}
{{- $taken := dict -}}
{{- range $name, $_ := index .root.Values .key -}}
{{- $slug := include "inferloom.slug" $name -}}
{{- if not $slug -}}
{{- fail (printf "%s: '%s' has no letter or digit to name Kubernetes objects by; rename the entry" $.key $name) -}}
{{- end -}}
{{- if hasKey $taken $slug -}}
{{- fail (printf "%s: '%s' and '%s' would both be '%s' in Kubernetes; rename one of the entries%s" $.key (get $taken $slug) $name $slug (ternary " and list its model under `load`" "" (eq $.key "models"))) -}}
{{- end -}}
{{- $_ := set $taken $slug $name -}}
{{- $object := include "inferloom.object" (dict "root" $.root "component" $.component "name" $name) -}}
{{- if gt (len $object) 63 -}}
{{- fail (printf "%s: '%s' makes the name '%s' of %d characters, and Kubernetes allows 63; shorten the entry%s" $.key $name $object (len $object) (ternary " and list the model under its `load`" "" (eq $.key "models"))) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "inferloom.checkModel" -}}
{{- $place := printf "models.%s" .name -}}
{{- $sources := list -}}
{{- range list "pvc" "hostPath" "volume" "image" "s3" -}}
{{- if index $.model.repository . -}}{{- $sources = append $sources . -}}{{- end -}}
{{- end -}}
{{- if ne (len $sources) 1 -}}
{{- fail (printf "%s.repository: give exactly one of pvc, hostPath, volume, image and s3 (given: %s)" $place (join ", " $sources | default "none")) -}}
{{- end -}}
{{- if and .model.repository.subPath (or .model.repository.image .model.repository.s3) -}}
{{- fail (printf "%s.repository.subPath: belongs to pvc, hostPath and volume; write it into the url of s3" $place) -}}
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
{{- include "inferloom.checkScaling" (dict "root" .root "place" $place "scaling" .model.autoscaling) -}}
{{- end }}

{{/* Takes root, place and scaling. */}}
{{- define "inferloom.checkScaling" -}}
{{- if and (eq .scaling.kind "keda") (not .root.Values.monitoring.prometheus) -}}
{{- fail (printf "%s.autoscaling: keda asks Prometheus; set monitoring.prometheus to its address" .place) -}}
{{- end -}}
{{- if lt (int .scaling.max) (int .scaling.min) -}}
{{- fail (printf "%s.autoscaling: max (%d) is below min (%d)" .place (int .scaling.max) (int .scaling.min)) -}}
{{- end -}}
{{- end }}

{{- define "inferloom.checkHosts" -}}
{{- include "inferloom.checkNames" (dict "root" . "component" "host" "key" "hosts") -}}
{{- range $name, $own := .Values.hosts -}}
{{- $host := mergeOverwrite (deepCopy $.Values.hostDefaults) $own -}}
{{- if not $host.source -}}
{{- fail (printf "hosts.%s.source: name the Python file in the image; for pipelines alone there is `composer`" $name) -}}
{{- end -}}
{{- include "inferloom.checkScaling" (dict "root" $ "place" (printf "hosts.%s" $name) "scaling" $host.autoscaling) -}}
{{- end -}}
{{- include "inferloom.checkScaling" (dict "root" $ "place" "composer" "scaling" (include "inferloom.composer" . | fromJson).autoscaling) -}}
{{- $seen := dict -}}
{{- range .Values.documents -}}
{{- $key := printf "%s '%s'" .kind .name -}}
{{- if hasKey $seen $key -}}{{- fail (printf "documents: %s is there twice" $key) -}}{{- end -}}
{{- $_ := set $seen $key true -}}
{{- if and (eq .kind "pipeline") (not $.Values.composer.enabled) -}}
{{- fail (printf "documents: pipeline '%s' needs something that runs it: set composer.enabled to true" .name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "inferloom.checkFaces" -}}
{{- with .Values.consul.tls -}}
{{- if and .ca.secret .ca.configMap -}}
{{- fail "consul.tls.ca: give secret or configMap, not both" -}}
{{- end -}}
{{- if and (or .ca.secret .ca.configMap) (not .enabled) -}}
{{- fail "consul.tls.ca is given and consul.tls.enabled is false; set it to true" -}}
{{- end -}}
{{- if and .enabled (index $.Values "consul-agent" "enabled") (not $.Values.consul.host) -}}
{{- fail "consul.tls.enabled: consul-agent has no TLS; disable one of the two" -}}
{{- end -}}
{{- end -}}
{{- range $role := list "edge" "router" -}}
{{- with index $.Values $role "tls" -}}
{{- if and .clientCertificates (not .secret) -}}
{{- fail (printf "%s.tls.clientCertificates needs %s.tls.secret, a Secret with tls.crt, tls.key and ca.crt" $role $role) -}}
{{- end -}}
{{- end -}}
{{- include "inferloom.checkScaling" (dict "root" $ "place" $role "scaling" (index $.Values $role "autoscaling")) -}}
{{- end -}}
{{- if and .Values.edge.enabled .Values.router.tls.secret -}}
{{- fail "router.tls: TLS ends at the edge, which calls the routers in plain text; set edge.tls, or edge.enabled to false" -}}
{{- end -}}
{{- $http := or .Values.edge.enabled (not .Values.router.tls.secret) -}}
{{- if and (not $http) (or .Values.gatewayApi.httpHostnames .Values.ingress.http.hosts) -}}
{{- fail "router.tls turns the HTTP port off, and routes lead to it; set edge.enabled to true and give edge.tls" -}}
{{- end -}}
{{- range .Values.gatewayApi.grpcHostnames -}}
{{- if has . $.Values.gatewayApi.httpHostnames -}}
{{- fail (printf "gatewayApi: '%s' is among grpcHostnames and httpHostnames; a Gateway takes one of two such routes, so give them different names" .) -}}
{{- end -}}
{{- end -}}
{{- end }}
