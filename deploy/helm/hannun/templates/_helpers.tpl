{{- define "hannun.name" -}}
{{- if contains "hannun" .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- else -}}{{ printf "%s-hannun" .Release.Name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{/* The name of an object of a process. Takes (list root process). */}}
{{- define "hannun.process" -}}
{{ include "hannun.name" (index . 0) }}-{{ index . 1 }}
{{- end -}}

{{- define "hannun.selector" -}}
app.kubernetes.io/name: hannun
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "hannun.labels" -}}
{{ include "hannun.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end -}}

{{- define "hannun.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}{{ $image.repository }}@{{ $image.digest }}{{- else -}}{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{- end -}}
{{- end -}}

{{/* What every pod has: no rights, no token of the cluster. Takes (list root process). */}}
{{- define "hannun.pod" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ include "hannun.process" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* What every container has. Takes (list root process). */}}
{{- define "hannun.container" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
image: {{ include "hannun.image" $root | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  privileged: false
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Settings of a process: all of them, its own, and where its secrets are. Takes (list root process own). */}}
{{- define "hannun.environment" -}}
{{- $root := index . 0 -}}
{{- range $name, $value := merge (dict) (index . 2) $root.Values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- range $name, $_ := index $root.Values.secrets.files (index . 1) }}
- {name: {{ $name }}_FILE, value: {{ printf "/run/secrets/hannun/%s" $name | quote }}}
{{- end }}
{{- end -}}

{{/* A setting of ingest: its own or that of all, "" where neither is set. Takes (list root name). */}}
{{- define "hannun.ingestsetting" -}}
{{- $values := (index . 0).Values -}}
{{- get (merge (dict) $values.ingest.settings $values.settings) (index . 1) -}}
{{- end -}}

{{- define "hannun.mounts" -}}
- {name: secrets, mountPath: /run/secrets/hannun, readOnly: true}
- {name: temporary, mountPath: /tmp}
{{- end -}}

{{/* Takes (list root process room). The room is that of the folder for temporary files. */}}
{{- define "hannun.volumes" -}}
{{- $root := index . 0 -}}
{{- $name := include "hannun.process" (list $root (index . 1)) -}}
- name: temporary
  emptyDir: {sizeLimit: {{ index . 2 }}}
- name: secrets
{{- if eq $root.Values.secrets.provider "csi" }}
  csi:
    driver: secrets-store.csi.k8s.io
    readOnly: true
    volumeAttributes: {secretProviderClass: {{ $name }}}
{{- else }}
  secret: {secretName: {{ $name }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{/* Pods of a process are spread over zones, and over nodes. Takes (list root process). */}}
{{- define "hannun.spread" -}}
topologySpreadConstraints:
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "hannun.selector" $ | nindent 8 }}
{{- end }}
{{- end -}}

{{/* Probes of a process whose port is named http. Liveness asks nothing of other systems: a restart mends none. */}}
{{- define "hannun.liveness" -}}
startupProbe:
  httpGet: {path: /health/live, port: http}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /health/live, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{/* A change of the settings starts the pods anew; of secrets not, since processes read their files again. */}}
{{- define "hannun.podmetadata" -}}
labels:
  {{- include "hannun.selector" . | nindent 2 }}
  {{- if index (index . 0).Values.serviceAccounts.azureClientIds (index . 1) }}
  azure.workload.identity/use: "true"
  {{- end }}
  {{- with (index . 0).Values.serviceAccounts.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
