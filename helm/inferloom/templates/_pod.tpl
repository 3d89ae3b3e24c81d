{{/* Metadata of a pod template. Takes what inferloom.labels takes, main (the container to look at) and annotations. */}}
{{- define "inferloom.podMetadata" -}}
labels: {{- include "inferloom.labels" . | nindent 2 }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .main }}
  {{- with .name }}
  inferloom/{{ $.component }}: {{ . | quote }}
  {{- end }}
  {{- with .annotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The part of a pod's spec that all pods share. Takes root, component, name and nodeSelector, tolerations. */}}
{{- define "inferloom.podSpec" -}}
automountServiceAccountToken: false  # nothing here asks Kubernetes for anything
enableServiceLinks: false  # or a Service named "consul" sets CONSUL_PORT and its kin
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.topologyKeys }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: {matchLabels: {{ include "inferloom.selectorLabels" $ | fromYaml | toJson }}}
    matchLabelKeys: [pod-template-hash]  # during a rollout the old pods do not count
  {{- end }}
{{- end }}
{{- end }}

{{- define "inferloom.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Probes on the admin face, which every role has. Takes the seconds that a start may last. */}}
{{- define "inferloom.adminProbes" -}}
startupProbe:
  httpGet: {path: /live, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: {{ div . 2 }}
livenessProbe:
  httpGet: {path: /live, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /ready, port: admin}
  periodSeconds: 5
  timeoutSeconds: 2
{{- end }}

{{/* GET of Envoy's admin port, which is on loopback: the kubelet cannot ask it. Takes the path. By the bare socket: it runs
     every five seconds, and urllib's modules, which the image has as source only, would cost six times as much. */}}
{{- define "inferloom.envoyProbe" -}}
exec:
  command:
    - python
    - -IS
    - -c
    - |
      from _socket import socket
      admin = socket()
      admin.settimeout(3)
      admin.connect(("127.0.0.1", 9901))
      admin.send(b"GET {{ . }} HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n")
      assert admin.recv(32).split()[1] == b"200"
periodSeconds: 10
timeoutSeconds: 5
{{- end }}

{{/* The environment of every role. HOME is where the last good snapshot of the catalog is kept; it outlives a restart of
     the container, not the pod. */}}
{{- define "inferloom.env" -}}
- {name: HOME, value: /tmp}
- {name: INFERLOOM_LOG, value: {{ .Values.logLevel }}}
- {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
- {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
{{- with .Values.consul }}
{{- if .tokenSecret.name }}
- {name: CONSUL_HTTP_TOKEN, valueFrom: {secretKeyRef: {{ toJson .tokenSecret }}}}
{{- end }}
{{- if .tls.enabled }}
- {name: CONSUL_HTTP_SSL, value: "true"}
{{- end }}
{{- if or .tls.ca.secret .tls.ca.configMap }}
- {name: CONSUL_CACERT, value: /etc/inferloom/consul/ca.crt}
{{- end }}
{{- end }}
{{- with .Values.tracing }}
{{- if .endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: OTEL_TRACES_SAMPLER, value: parentbased_traceidratio}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ .ratio | toString | quote }}}
- {name: OTEL_RESOURCE_ATTRIBUTES, value: "k8s.pod.name=$(POD_NAME),k8s.namespace.name={{ $.Release.Namespace }}"}
{{- end }}
{{- end }}
{{- end }}

{{- define "inferloom.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if or .Values.consul.tls.ca.secret .Values.consul.tls.ca.configMap }}
- {name: consul-ca, mountPath: /etc/inferloom/consul, readOnly: true}
{{- end }}
{{- end }}

{{/* Takes root and tmpSize. */}}
{{- define "inferloom.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: {{ .tmpSize }}}}
{{- with .root.Values.consul.tls.ca }}
{{- $items := list (dict "key" .key "path" "ca.crt") }}
{{- if .secret }}
- {name: consul-ca, secret: {secretName: {{ .secret | quote }}, items: {{ toJson $items }}}}
{{- else if .configMap }}
- {name: consul-ca, configMap: {name: {{ .configMap | quote }}, items: {{ toJson $items }}}}
{{- end }}
{{- end }}
{{- end }}

{{/* What edge and router read beside that: a certificate, and the tokens. */}}
{{- define "inferloom.tlsMount" -}}
{{- if .secret }}
- {name: tls, mountPath: /etc/inferloom/tls, readOnly: true}
{{- end }}
{{- end }}
{{- define "inferloom.tlsVolume" -}}
{{- if .secret }}
- {name: tls, secret: {secretName: {{ .secret | quote }}}}
{{- end }}
{{- end }}
{{- define "inferloom.authMount" -}}
{{- if or .tokenSecret.name .writeTokenSecret.name }}
- {name: auth, mountPath: /etc/inferloom/auth, readOnly: true}
{{- end }}
{{- end }}
{{- define "inferloom.authVolume" -}}
{{- if or .tokenSecret.name .writeTokenSecret.name }}
- name: auth
  projected:
    sources:
      {{- with .tokenSecret }}
      {{- if .name }}
      - secret: {name: {{ .name | quote }}, items: [{key: {{ .key | quote }}, path: token}]}
      {{- end }}
      {{- end }}
      {{- with .writeTokenSecret }}
      {{- if .name }}
      - secret: {name: {{ .name | quote }}, items: [{key: {{ .key | quote }}, path: write-token}]}
      {{- end }}
      {{- end }}
{{- end }}
{{- end }}
