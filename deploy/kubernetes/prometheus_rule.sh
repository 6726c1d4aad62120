#!/bin/sh
# The alerts of deploy/prometheus for the Prometheus operator:
#
#     deploy/kubernetes/prometheus_rule.sh | kubectl apply -f -
set -eu
cat <<'MANIFEST'
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: mindswarm}
spec:
MANIFEST
sed 's/^./  &/' "$(dirname "$0")/../prometheus/alerts.yml"
