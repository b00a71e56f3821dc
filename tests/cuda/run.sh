#!/usr/bin/env bash
# usage: run.sh VGPU_RUN CHECKS PROGRAM ARGUMENTS...: runs PROGRAM on the GPU where there is one, else on the virtual one.
set -euo pipefail
vgpu_run=$1 checks=$2
shift 2
if [[ -e /dev/nvidiactl ]]; then exec "$@"; fi
if [[ -x $vgpu_run ]]; then exec "$vgpu_run" --check "$checks" "$@"; fi
echo "skipped: no GPU, and no virtual one (configure with -DTWEEDIE_VGPU=ON)"
exit 77
