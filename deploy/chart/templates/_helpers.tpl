{{- define "tokenwright.labels" -}}
app.kubernetes.io/name: {{ .Values.name }}
app.kubernetes.io/part-of: tokenwright
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What tells the Pods of a Deployment. Call with (list $ "verifier"). */}}
{{- define "tokenwright.selector" -}}
app.kubernetes.io/name: {{ (index . 0).Values.name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "tokenwright.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* What the Pods of both Deployments have in common. Call with (list $ "verifier" $settings). */}}
{{- define "tokenwright.pod" -}}
{{- $root := index . 0 }}{{ $component := index . 1 }}{{ $settings := index . 2 -}}
serviceAccountName: {{ $root.Values.name }}-{{ $component }}
automountServiceAccountToken: true
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where traces go, and which: variables that OpenTelemetry defines. */}}
{{- define "tokenwright.traces" -}}
{{- with .Values.traces }}
{{- if .endpoint -}}
env:
  - name: OTEL_EXPORTER_OTLP_ENDPOINT
    value: {{ .endpoint | quote }}
  - name: OTEL_TRACES_SAMPLER
    value: {{ .sampler }}
  {{- with .samplerArgument }}
  - name: OTEL_TRACES_SAMPLER_ARG
    value: {{ . | quote }}
  {{- end }}
  {{- with .headersSecret }}
  - name: OTEL_EXPORTER_OTLP_HEADERS
    valueFrom:
      secretKeyRef:
        name: {{ . }}
        key: headers
  {{- end }}
  {{- if include "tokenwright.tracesMount" $ }}
  - name: OTEL_EXPORTER_OTLP_CERTIFICATE
    value: /traces/{{ .certificate.key }}
  {{- else if hasPrefix "https:" .endpoint }}
  {{- fail "traces.endpoint is https, and the image has no certificates of its own to verify a collector by: name the Secret or the ConfigMap with its CA's PEM in traces.certificate." }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where the certificate is that the collector is verified by; nothing where there is none. */}}
{{- define "tokenwright.tracesMount" -}}
{{- with .Values.traces }}
{{- if and .endpoint (or .certificate.secret .certificate.configMap) -}}
- name: traces
  mountPath: /traces
  readOnly: true
{{- end }}
{{- end }}
{{- end }}

{{- define "tokenwright.tracesVolume" -}}
{{- with .Values.traces.certificate -}}
- name: traces
  {{- if .secret }}
  secret:
    secretName: {{ .secret }}
  {{- else }}
  configMap:
    name: {{ .configMap }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "tokenwright.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* A role bound to an account: everywhere, or in the namespaces that are looked after. Call with
     (list $ "controller" "controller-tokens"). */}}
{{- define "tokenwright.bindings" -}}
{{- $root := index . 0 }}{{ $component := index . 1 }}{{ $role := index . 2 }}
{{- range $namespace := $root.Values.namespaces | default (list "") }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ if $namespace }}RoleBinding{{ else }}ClusterRoleBinding{{ end }}
metadata:
  name: {{ $root.Values.name }}-{{ $role }}
  {{- if $namespace }}
  namespace: {{ $namespace }}
  {{- end }}
  labels:
    {{- include "tokenwright.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $component }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ $root.Values.name }}-{{ $role }}
subjects:
  - kind: ServiceAccount
    name: {{ $root.Values.name }}-{{ $component }}
    namespace: {{ $root.Release.Namespace }}
{{- end }}
{{- end }}
