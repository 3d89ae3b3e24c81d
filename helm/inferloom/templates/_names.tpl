{{/* Prefix of every object's name. Kubernetes allows 63 characters, and the longest suffix of our own has 16. */}}
{{- define "inferloom.fullname" -}}
{{- $release := ternary .Release.Name (printf "%s-inferloom" .Release.Name) (contains "inferloom" .Release.Name) -}}
{{- .Values.fullnameOverride | default $release | trunc 47 | trimSuffix "-" -}}
{{- end }}

{{/* A model's name as Kubernetes takes it: lower case, "-" for what else a model's name may have, none at the ends. */}}
{{- define "inferloom.slug" -}}
{{- . | lower | replace "." "-" | replace "_" "-" | trimAll "-" -}}
{{- end }}

{{- define "inferloom.modelObject" -}}
{{- printf "%s-model-%s" (include "inferloom.fullname" .root) (include "inferloom.slug" .name) -}}
{{- end }}

{{/* What tells one component's pods from all others. Takes root, component and, for models, name. */}}
{{- define "inferloom.selectorLabels" -}}
app.kubernetes.io/name: inferloom
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .name }}
inferloom/model: {{ include "inferloom.slug" . | quote }}
{{- end }}
{{- end }}

{{- define "inferloom.labels" -}}
{{ include "inferloom.selectorLabels" . }}
app.kubernetes.io/part-of: inferloom
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "inferloom.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end }}
