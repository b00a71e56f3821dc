#!/usr/bin/env bash
# From a fresh clone to a report: installs what is missing, builds one experiment for the CPU and runs it in quick mode
# on Fashion-MNIST. Further arguments go to the experiment. The last line printed is the report's path.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/setup.sh
cmake --preset cpu
cmake --build build --target selective_underfitting -j"$(nproc)"

out="$PWD/runs/quickstart-$(date +%Y%m%d-%H%M%S)"
build/bin/selective_underfitting --quick --data fashion-mnist --out "$out" "$@"
echo "$out/report.html"
