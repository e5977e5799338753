{{- define "forebay.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "forebay.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "forebay.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "forebay.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "forebay.selector" -}}
app.kubernetes.io/name: {{ include "forebay.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "forebay.labels" -}}
{{ include "forebay.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "forebay.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "forebay.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* A duration such as "25 s", in whole seconds, rounded up. */}}
{{- define "forebay.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- if eq $unit "ms" -}}{{ div (add $number 999) 1000 }}
{{- else -}}{{ mul $number (get (dict "s" 1 "min" 60 "h" 3600 "d" 86400) $unit) }}
{{- end -}}
{{- end -}}

{{/* How long deliveries go on at the end. A spool that is gone with its pod gets more time. */}}
{{- define "forebay.shutdownGrace" -}}
{{- $flush := default dict .Values.config.flush -}}
{{- default (ternary "25 s" "10 min" .Values.persistence.enabled) $flush.shutdown_grace -}}
{{- end -}}

{{/* A value of forebay.toml. Numbers, texts, booleans and lists of them are written in TOML as in JSON. */}}
{{- define "forebay.value" -}}
{{- if kindIs "map" . -}}
{ {{- $first := true }}{{ range $name, $value := . }}{{ if not $first }},{{ end }} {{ $name }} = {{ include "forebay.value" $value }}{{ $first = false }}{{ end }} }
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end -}}

{{- define "forebay.table" -}}
{{- range $name, $value := . }}
{{ $name }} = {{ include "forebay.value" $value }}
{{- end }}
{{- end -}}

{{/* forebay.toml, with what the chart decides. */}}
{{- define "forebay.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $collector := dict "listen" "0.0.0.0:8080" -}}
{{- if .Values.tls.existingSecret -}}
{{- $collector = merge $collector (dict "tls_listen" "0.0.0.0:8443" "tls_cert" "/etc/forebay/tls/tls.crt" "tls_key" "/etc/forebay/tls/tls.key") -}}
{{- end -}}
{{- $sections := dict -}}
{{- $_ := set $sections "collector" (merge $collector (default dict $config.collector)) -}}
{{- $_ := set $sections "admin" (merge (dict "listen" "0.0.0.0:9180") (default dict $config.admin)) -}}
{{- $_ := set $sections "spool" (merge (dict "dir" "/var/lib/forebay") (default dict $config.spool)) -}}
{{- $_ := set $sections "s3" $config.s3 -}}
{{- $_ := set $sections "flush" (merge (dict "shutdown_grace" (include "forebay.shutdownGrace" .)) (default dict $config.flush)) -}}
{{- if $config.closed_days -}}{{- $_ := set $sections "closed_days" $config.closed_days -}}{{- end -}}
{{- if $config.alarm -}}{{- $_ := set $sections "alarm" $config.alarm -}}{{- end -}}
{{- range $name, $table := $sections }}
[{{ $name }}]
{{- include "forebay.table" $table }}
{{ end }}
{{- range $config.source }}
[[source]]
{{- include "forebay.table" . }}
{{ end }}
{{- range $config.destination }}
[[destination]]
{{- include "forebay.table" . }}
{{ end }}
{{- end -}}
