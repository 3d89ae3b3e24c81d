{{/* Metadata of a pod template. Takes what inferloom.labels takes. */}}
{{- define "inferloom.podMetadata" -}}
labels: {{- include "inferloom.labels" . | nindent 2 }}
annotations:
  kubectl.kubernetes.io/default-container: {{ ternary "sidecar" "router" (eq .component "model") }}
  {{- with .name }}
  inferloom/model: {{ . | quote }}
  {{- end }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The part of a pod's spec that all pods share. Takes root, component, name (of a model) and nodeSelector, tolerations. */}}
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

{{/* Probes on the admin face, of router and sidecar alike. */}}
{{- define "inferloom.adminProbes" -}}
livenessProbe:
  httpGet: {path: /live, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /ready, port: admin}
  periodSeconds: 5
  timeoutSeconds: 2
{{- end }}

{{/* The environment of router and sidecar. HOME is where the last good snapshot of the catalog is kept; it outlives a
     restart of the container, not the pod. */}}
{{- define "inferloom.env" -}}
- {name: HOME, value: /tmp}
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
{{- end }}

{{- define "inferloom.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if or .Values.consul.tls.ca.secret .Values.consul.tls.ca.configMap }}
- {name: consul-ca, mountPath: /etc/inferloom/consul, readOnly: true}
{{- end }}
{{- end }}

{{- define "inferloom.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: 64Mi}}
{{- with .Values.consul.tls.ca }}
{{- $items := list (dict "key" .key "path" "ca.crt") }}
{{- if .secret }}
- {name: consul-ca, secret: {secretName: {{ .secret | quote }}, items: {{ toJson $items }}}}
{{- else if .configMap }}
- {name: consul-ca, configMap: {name: {{ .configMap | quote }}, items: {{ toJson $items }}}}
{{- end }}
{{- end }}
{{- end }}

{{/* At most one replica at a time is taken away by drains of nodes. Takes root, component, name, object and replicas. */}}
{{- define "inferloom.disruptionBudget" -}}
{{- if gt (int .replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .object }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "inferloom.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "inferloom.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end }}
