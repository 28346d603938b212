#!/usr/bin/env bash
# Checks the Kubernetes manifests against the schemas of one version of Kubernetes, which come
# with the tool (https://pypi.org/project/kubernetes-validate). An unknown field is an error.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${CARGO_TARGET_DIR:-target}/kubernetes-validate
if [ ! -x "$venv/bin/kubernetes-validate" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet kubernetes-validate==1.37.0
fi
"$venv/bin/kubernetes-validate" --strict scripts/fleet/kubernetes/*.yaml
