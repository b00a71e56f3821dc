#!/usr/bin/env bash
# usage: release.sh SOURCE BUILD: compiles every kernel for all cards of preset cuda-release in BUILD; a warning fails.
set -euo pipefail
cmake -S "$1" --preset cuda-release -B "$2" -DTWEEDIE_TESTS=OFF
cmake --build "$2" --target tweedie_kernels_cuda
