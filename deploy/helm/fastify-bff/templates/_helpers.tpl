{{- define "fastify-bff.name" -}}
{{- contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "fastify-bff.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fastify-bff.labels" -}}
{{ include "fastify-bff.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "fastify-bff.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default (printf "v%s" .Chart.AppVersion) }}{{ end }}
{{- end }}

{{- define "fastify-bff.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "fastify-bff.name" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "fastify-bff.host" -}}
{{ (urlParse .Values.publicUrl).host | splitList ":" | first }}
{{- end }}

{{- define "fastify-bff.path" -}}
{{ (urlParse .Values.publicUrl).path | default "/" }}
{{- end }}

{{/* Several pods share their sessions in Redis only. */}}
{{- define "fastify-bff.checkRedis" -}}
{{- $hasRedis := or (hasKey .Values.secret.keys "REDIS_URL") (hasKey .Values.env "REDIS_URL") (hasKey .Values.config "redisUrl") }}
{{- range .Values.extraEnv }}{{ if eq .name "REDIS_URL" }}{{ $hasRedis = true }}{{ end }}{{ end }}
{{- if and (not $hasRedis) (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) }}
{{- fail "Several pods need REDIS_URL: name its key in secret.keys, or set autoscaling.enabled=false and replicas=1" }}
{{- end }}
{{- end }}
