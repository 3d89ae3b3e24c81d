{{/*
Every command line that this chart uses, in this one place; a test parses them with the command itself.
From the environment: CONSUL_HTTP_TOKEN, CONSUL_HTTP_SSL, CONSUL_CACERT (as Consul's own tools), OTEL_*, INFERLOOM_LOG, and
HOME for caches. $(NAME) is filled in by Kubernetes.
*/}}

{{- define "inferloom.tlsArgs" -}}
{{- if .secret }}
- --tls-cert=/etc/inferloom/tls/tls.crt
- --tls-key=/etc/inferloom/tls/tls.key
{{- if .clientCertificates }}
- --tls-client-ca=/etc/inferloom/tls/ca.crt
{{- end }}
{{- end }}
{{- end }}

{{- define "inferloom.tokenArgs" -}}
{{- if .Values.auth.tokenSecret.name }}
- --token-file=/etc/inferloom/auth/token
{{- end }}
{{- if .Values.auth.writeTokenSecret.name }}
- --write-token-file=/etc/inferloom/auth/write-token
{{- end }}
{{- end }}

{{- define "inferloom.edgeArgs" -}}
- edge
- --listen=0.0.0.0:8081
- --control=127.0.0.1:9091
- --admin=127.0.0.1:9901
- --access-log={{ .Values.edge.accessLog }}
- --concurrency={{ int .Values.edge.concurrency }}
- --drain-timeout={{ int .Values.edge.drainTimeoutSeconds }}
- --max-message-mib={{ int .Values.maxMessageMib }}
- --max-memory-mib={{ int .Values.edge.maxMemoryMib }}
{{- with .Values.edge.zone }}
- --zone={{ . }}
{{- end }}
{{- include "inferloom.tlsArgs" .Values.edge.tls }}
{{- if .Values.auth.tokenSecret.name }}
- --token-file=/etc/inferloom/auth/token
{{- end }}
{{- end }}

{{- define "inferloom.controlArgs" -}}
- control
- --grpc=127.0.0.1:9091
- --admin=0.0.0.0:9100
- --registry=consul://{{ include "inferloom.consul" . }}
- --router={{ include "inferloom.fullname" . }}-router:8081
- --router-http={{ include "inferloom.fullname" . }}-router:8080
{{- include "inferloom.tokenArgs" . }}
{{- end }}

{{- define "inferloom.routerArgs" -}}
- router
- --grpc=0.0.0.0:8081
- --http={{ ternary "off" "0.0.0.0:8080" (ne .Values.router.tls.secret "") }}
- --admin=0.0.0.0:9100
- --registry=consul://{{ include "inferloom.consul" . }}
- --max-message-mib={{ int .Values.maxMessageMib }}
- --drain-timeout={{ int .Values.router.drainTimeoutSeconds }}
{{- include "inferloom.tlsArgs" .Values.router.tls }}
{{- include "inferloom.tokenArgs" . }}
{{- end }}

{{/* Takes root and host: an entry with its defaults. */}}
{{- define "inferloom.hostArgs" -}}
- host
{{- with .host.source }}
- {{ . }}
{{- if not (or $.host.only (not $.host.pipelines)) }}
- --no-services
{{- end }}
{{- end }}
{{- range .host.only }}
- --only={{ . }}
{{- end }}
{{- if .host.pipelines }}
- --pipelines
{{- end }}
- --grpc=0.0.0.0:8081
- --admin=0.0.0.0:9100
- --registry=consul://{{ include "inferloom.consul" .root }}
- --advertise=$(POD_IP)
- --id=$(POD_NAME)
- --max-message-mib={{ int .root.Values.maxMessageMib }}
- --drain-timeout={{ int .host.drainTimeoutSeconds }}
{{- with .host.locality }}
- --locality={{ . }}
{{- end }}
{{- end }}

{{- define "inferloom.sidecarArgs" -}}
- sidecar
- --triton-url=127.0.0.1:8001
- --triton-http-port=8000
- --triton-metrics-port=8002
- --registry=consul://{{ include "inferloom.consul" .root }}
- --advertise=$(POD_IP)
- --id=$(POD_NAME)
- --health-port=9102
- --admin=0.0.0.0:9100
- --drain-timeout={{ int .root.Values.sidecar.drainTimeoutSeconds }}
- --weight={{ .model.weight }}
{{- with .model.locality }}
- --locality={{ . }}
{{- end }}
{{- end }}

{{- define "inferloom.documentsArgs" -}}
- export
- apply
- /etc/inferloom/documents/documents.json
- --registry=consul://{{ include "inferloom.consul" . }}
- --wait={{ int .Values.documentsJob.waitSeconds }}
{{- with .Values.composer.source }}
- --source={{ . }}
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
{{- /* It continues its callers' traces and begins none; as `sidecar/flags.py` says. */}}
{{- with .root.Values.tracing.tritonEndpoint }}
- --trace-config=mode=opentelemetry
- --trace-config=level=TIMESTAMPS
- --trace-config=rate=0
- --trace-config=opentelemetry,url={{ . }}
- --trace-config=opentelemetry,resource=service.name=triton
- --trace-config=opentelemetry,bsp_schedule_delay=1000
{{- end }}
{{- range .model.tritonOptions }}
- {{ . | quote }}
{{- end }}
{{- end }}
