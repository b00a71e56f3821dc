#!/usr/bin/env bash
# usage: run.sh VGPU_RUN CHECKS PROGRAM ARGUMENTS...: runs PROGRAM on the GPU where there is one, else on the virtual one,
# with the work of streams done as late as is legal where VGPU_STREAMS does not say otherwise; that takes about as long.
set -euo pipefail
vgpu_run=$1 checks=$2
shift 2
if [[ -e /dev/nvidiactl ]]; then exec "$@"; fi
if [[ -x $vgpu_run ]]; then exec "$vgpu_run" --check "$checks" --streams "${VGPU_STREAMS:-late}" "$@"; fi
echo "skipped: no GPU, and no virtual one (configure with -DTWEEDIE_VGPU=ON)"
exit 77
