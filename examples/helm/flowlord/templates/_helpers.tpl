{{- define "flowlord.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "flowlord.selector" -}}
app.kubernetes.io/name: flowlord
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "flowlord.labels" -}}
{{ include "flowlord.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}
