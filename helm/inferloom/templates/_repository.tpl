{{/* Where an entry's model repository comes from: a volume, or an init container that fills an empty one. */}}

{{/* SHA256SUMS of what is fetched from S3; "" where nothing is. */}}
{{- define "inferloom.checksums" -}}
{{- range $path, $sum := dig "s3" "sha256" dict . }}
{{- printf "%s  %s\n" $sum $path }}
{{- end }}
{{- end }}

{{/* Takes root, name and model. */}}
{{- define "inferloom.fetch" -}}
{{- with .model.repository.image }}
- name: fetch
  image: {{ . | quote }}
  imagePullPolicy: {{ $.root.Values.image.pullPolicy }}
  # The image has Python and no shell. /models itself belongs to root, so what is below it is copied one by one.
  command:
    - python
    - -c
    - |
      import os, shutil, sys
      for name in os.listdir("/srv/models") if sys.argv[1:] == ["*"] else sys.argv[1:]:
          shutil.copytree(f"/srv/models/{name}", f"/models/{name}", dirs_exist_ok=True)
  args: {{ $.model.load | default (list $.name) | toJson }}
  resources:
    requests: {cpu: 100m, memory: 64Mi}
    limits: {memory: 512Mi}
  securityContext: {{- include "inferloom.containerSecurity" $.root | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models}
{{- end }}
{{- with .model.repository.s3 }}
- name: fetch
  image: {{ printf "%s:%s" $.root.Values.s3Image.repository $.root.Values.s3Image.tag }}
  imagePullPolicy: {{ $.root.Values.s3Image.pullPolicy }}
  command: [/bin/sh, -euc]
  args:
    - |
      cd /models
      while read -r sum path; do
        aws s3 cp --only-show-errors "$SOURCE/$path" "$path"
      done < /etc/inferloom/checksums/SHA256SUMS
      sha256sum --check --quiet --strict /etc/inferloom/checksums/SHA256SUMS
  env:
    - {name: HOME, value: /tmp}
    - {name: SOURCE, value: {{ .url | trimSuffix "/" | quote }}}
    {{- with .endpoint }}
    - {name: AWS_ENDPOINT_URL_S3, value: {{ . | quote }}}
    {{- end }}
    {{- with .region }}
    - {name: AWS_REGION, value: {{ . | quote }}}
    {{- end }}
  {{- with .credentials }}
  envFrom:
    - secretRef: {name: {{ . | quote }}}
  {{- end }}
  resources:
    requests: {cpu: 100m, memory: 128Mi}
    limits: {memory: 512Mi}
  securityContext: {{- include "inferloom.containerSecurity" $.root | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
    - {name: models, mountPath: /models}
    - {name: checksums, mountPath: /etc/inferloom/checksums, readOnly: true}
{{- end }}
{{- end }}

{{/* Takes object and model. */}}
{{- define "inferloom.repositoryVolumes" -}}
{{- with .model.repository }}
- name: models
  {{- if .pvc }}
  persistentVolumeClaim: {claimName: {{ .pvc | quote }}, readOnly: true}
  {{- else if .hostPath }}
  hostPath: {path: {{ .hostPath | quote }}, type: Directory}
  {{- else if .volume }}
  {{- toYaml .volume | nindent 2 }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- if .s3 }}
- {name: checksums, configMap: {name: {{ $.object }}}}
{{- end }}
{{- end }}
{{- end }}
