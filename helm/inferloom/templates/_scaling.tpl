{{/* `replicas`, unless something else sets them. Takes replicas and scaling. */}}
{{- define "inferloom.replicas" -}}
{{- if eq .scaling.kind "none" -}}
replicas: {{ int .replicas }}
{{- end -}}
{{- end }}

{{/*
At most one replica at a time is taken away by drains of nodes; and what changes their number. Takes object, replicas,
scaling, metric (of a pod, for the HPA), query (PromQL over all pods, for KEDA), and what inferloom.labels takes.
*/}}
{{- define "inferloom.scaling" -}}
{{- $least := ternary .replicas .scaling.min (eq .scaling.kind "none") }}
{{- if gt (int $least) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{- include "inferloom.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "inferloom.selectorLabels" . | nindent 6 }}
{{- end }}
{{- if eq .scaling.kind "hpa" }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{- include "inferloom.metadata" . | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .object }}}
  minReplicas: {{ int .scaling.min }}
  maxReplicas: {{ int .scaling.max }}
  metrics:
    {{- if .metric }}
    - type: Pods  # through an adapter, such as prometheus-adapter
      pods:
        metric: {name: {{ .metric }}}
        target: {type: AverageValue, averageValue: {{ .scaling.inFlight | quote }}}
    {{- else }}
    - type: ContainerResource
      containerResource:
        name: cpu
        container: {{ .main }}
        target: {type: Utilization, averageUtilization: {{ int .scaling.cpuPercent }}}
    {{- end }}
  behavior:
    scaleDown: {stabilizationWindowSeconds: 300}
{{- else if eq .scaling.kind "keda" }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{- include "inferloom.metadata" . | nindent 2 }}
spec:
  scaleTargetRef: {name: {{ .object }}}
  minReplicaCount: {{ int .scaling.min }}
  maxReplicaCount: {{ int .scaling.max }}
  cooldownPeriod: 300
  triggers:
    - type: prometheus
      metricType: AverageValue
      metadata:
        serverAddress: {{ .root.Values.monitoring.prometheus | quote }}
        query: {{ .query | quote }}
        threshold: {{ .scaling.inFlight | quote }}
{{- end }}
{{- end }}
