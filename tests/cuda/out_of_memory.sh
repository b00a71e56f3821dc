#!/usr/bin/env bash
# usage: out_of_memory.sh BIN: what a program says when the device's memory does not do, and that the flag it names helps.
# It needs the virtual GPU (run.sh), whose memory can be small.
set -euo pipefail
bin=$1
if [[ -e /dev/nvidiactl ]]; then
  echo "skipped: a GPU's memory is what it is"
  exit 77
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export VGPU_MEMORY=32000000 # of which the staging of copies takes 16 MiB
train() { # BATCH
  "$bin/train_dsm" --data shapes --resolution 16 --subset 64 --network unet:8x1 --steps 2 --batch "$1" --log-every 2 \
    --held-out 0 --device cuda --overwrite --log-level quiet --out "$out/run" >"$out/log" 2>&1
}
status=0
train 64 || status=$?
expected="out of device memory: asked for [0-9]+ bytes; [0-9]+ are in use by this program, [0-9]+ more held for reuse, [0-9]+ of $VGPU_MEMORY free on the device; lower --batch or --micro-batch"
if [[ $status != 1 ]] || ! grep -qE "$expected" "$out/log"; then
  echo "out_of_memory: status $status, expected 1 and '$expected': $(cat "$out/log")" >&2
  exit 1
fi
train 2 || {
  echo "out_of_memory: a smaller batch does not help: $(cat "$out/log")" >&2
  exit 1
}
echo "out_of_memory: said what was missing"
