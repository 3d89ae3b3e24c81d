{{/*
Every flag of the command line that this chart uses, in this one place; a test parses them with the command itself.

  inferloom router   --grpc --admin --registry --max-message-mib --drain-timeout
                     [--tls-cert --tls-key [--tls-client-ca]] [--token-file]
  inferloom sidecar  --triton-url --triton-http-port --registry --advertise --id --health-port --admin --drain-timeout
                     --weight [--locality]

From the environment: CONSUL_HTTP_TOKEN, CONSUL_HTTP_SSL, CONSUL_CACERT (as Consul's own tools), and HOME for caches.
$(NAME) is filled in by Kubernetes.
*/}}

{{- define "inferloom.registry" -}}
{{- printf "consul://%s:%d" (.Values.consul.host | default "$(HOST_IP)") (int .Values.consul.port) -}}
{{- end }}

{{- define "inferloom.routerArgs" -}}
- router
- --grpc=0.0.0.0:8081
- --admin=0.0.0.0:9100
- --registry={{ include "inferloom.registry" . }}
- --max-message-mib={{ int .Values.router.maxMessageMib }}
- --drain-timeout={{ int .Values.router.drainTimeoutSeconds }}
{{- if .Values.router.tls.secret }}
- --tls-cert=/etc/inferloom/tls/tls.crt
- --tls-key=/etc/inferloom/tls/tls.key
{{- if .Values.router.tls.clientCertificates }}
- --tls-client-ca=/etc/inferloom/tls/ca.crt
{{- end }}
{{- end }}
{{- if .Values.router.tokenSecret.name }}
- --token-file=/etc/inferloom/token/token
{{- end }}
{{- end }}

{{- define "inferloom.sidecarArgs" -}}
- sidecar
- --triton-url=127.0.0.1:8001
- --triton-http-port=8000
- --registry={{ include "inferloom.registry" .root }}
- --advertise=$(POD_IP)
- --id=$(POD_NAME)
- --health-port=9102
- --admin=0.0.0.0:9101
- --drain-timeout={{ int .root.Values.sidecar.drainTimeoutSeconds }}
- --weight={{ .model.weight }}
{{- with .model.locality }}
- --locality={{ . }}
{{- end }}
{{- end }}

{{/*
Triton's own. Explicit model control loads exactly what the entry names from a repository that may hold much more, and
lets the sidecar set the version policy: Triton's default serves the latest version only, so a new version directory
would take the old one away. tritonserver has no option for it; it is a field of each model's configuration
(`version_policy: { all {} }`), best written into its config.pbtxt.
*/}}
{{- define "inferloom.tritonArgs" -}}
- --model-repository=/models
- --model-control-mode=explicit
{{- range .model.load | default (list .name) }}
- --load-model={{ . }}
{{- end }}
- --grpc-port=8001
- --http-port=8000
- --metrics-port=8002
- --exit-timeout-secs={{ int .model.exitTimeoutSeconds }}
{{- /* Routers ping idle connections; Triton would answer that with GOAWAY (too_many_pings). */}}
- --grpc-keepalive-permit-without-calls=true
- --grpc-http2-min-recv-ping-interval-without-data=5000
- --grpc-http2-max-pings-without-data=0
{{- range .model.tritonOptions }}
- {{ . | quote }}
{{- end }}
{{- end }}
