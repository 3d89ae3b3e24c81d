{{/* Prefix of every object's name. Kubernetes allows 63 characters, and the longest suffix of our own has 16. */}}
{{- define "inferloom.fullname" -}}
{{- $release := ternary .Release.Name (printf "%s-inferloom" .Release.Name) (contains "inferloom" .Release.Name) -}}
{{- .Values.fullnameOverride | default $release | trunc 47 | trimSuffix "-" -}}
{{- end }}

{{/* A name as Kubernetes takes it: lower case, "-" for what else a name may have, none at the ends. */}}
{{- define "inferloom.slug" -}}
{{- . | lower | replace "." "-" | replace "_" "-" | trimAll "-" -}}
{{- end }}

{{/* Takes root, component ("model" or "host") and name. */}}
{{- define "inferloom.object" -}}
{{- printf "%s-%s-%s" (include "inferloom.fullname" .root) .component (include "inferloom.slug" .name) -}}
{{- end }}

{{/* The pods of a Deployment, as a regular expression for PromQL. They are named NAME-HASH-RANDOM, the hash of up to ten
     characters and the last part of five, before which Kubernetes keeps 58 characters. Takes the Deployment's name. */}}
{{- define "inferloom.podsOf" -}}
{{- $room := sub 57 (len .) | int }}
{{- if ge $room 11 -}}
{{ . }}-[a-z0-9]+-[a-z0-9]{5}
{{- else if ge $room 0 -}}
{{ . }}-[a-z0-9]{ {{- min $room 6 -}} ,}-?[a-z0-9]{5}
{{- else -}}
{{ trunc 58 . }}[a-z0-9]{5}
{{- end -}}
{{- end }}

{{/* What tells one component's pods from all others. Takes root, component and, for models and hosts, name. */}}
{{- define "inferloom.selectorLabels" -}}
app.kubernetes.io/name: inferloom
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .name }}
inferloom/{{ $.component }}: {{ include "inferloom.slug" . | quote }}
{{- end }}
{{- end }}

{{- define "inferloom.labels" -}}
{{ include "inferloom.selectorLabels" . }}
app.kubernetes.io/part-of: inferloom
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* name, namespace and labels of an object. Takes object and what inferloom.labels takes. */}}
{{- define "inferloom.metadata" -}}
name: {{ .object }}
namespace: {{ .root.Release.Namespace }}
labels: {{- include "inferloom.labels" . | nindent 2 }}
{{- end }}

{{- define "inferloom.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end }}

{{/* An image whose empty fields are the mesh's own. Takes root and image. */}}
{{- define "inferloom.ownImage" -}}
{{- if .image.repository -}}
{{- printf "%s:%s" .image.repository (.image.tag | default "latest") -}}
{{- else -}}
{{- include "inferloom.image" .root -}}
{{- end -}}
{{- end }}

{{/* The composer, with its defaults, as JSON. */}}
{{- define "inferloom.composer" -}}
{{- mergeOverwrite (deepCopy .Values.hostDefaults) (omit .Values.composer "enabled") (dict "pipelines" true) | toJson -}}
{{- end }}

{{/* HOST:PORT of one agent. */}}
{{- define "inferloom.consul" -}}
{{- $own := ternary (printf "%s-consul" .Release.Name | trunc 63 | trimSuffix "-") "$(HOST_IP)" (index .Values "consul-agent" "enabled") -}}
{{- printf "%s:%d" (.Values.consul.host | default $own) (int .Values.consul.port) -}}
{{- end }}
