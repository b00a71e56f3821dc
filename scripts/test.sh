#!/usr/bin/env bash
# Installs what is missing, builds everything (with CUDA where nvcc is found) and runs every test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/setup.sh
cmake --preset auto
cmake --build build -j"$(nproc)"
ctest --test-dir build --output-on-failure -j2
