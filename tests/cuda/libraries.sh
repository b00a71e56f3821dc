#!/usr/bin/env bash
# usage: libraries.sh BIN: the flags that choose between native kernels and libraries, and machines that lack a library.
# It needs a device (run.sh).
set -euo pipefail
bin=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export TWEEDIE_AUTOTUNE_FILE=$out/choices/autotune.json
die() {
  echo "libraries: $*" >&2
  exit 1
}

run() { # NETWORK NAME FLAGS...
  "$bin/train_dsm" --data shapes --resolution 8 --subset 24 --network "$1" --steps 2 --batch 4 --log-every 2 \
    --held-out 0 --out "$out/$2" "${@:3}" >"$out/$2.log" 2>&1
}
train() { run mlp:16x2 "$1" --device cuda "${@:2}"; }
loss() { sed -n 's/^ *"loss": \([-0-9.e+]*\),*$/\1/p' "$out/$1/results.json"; }
near() { awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a != "" && d <= 1e-5 * b) }'; }

# Files of the libraries' names that are none: what a machine without them looks like to the loader.
mkdir "$out/none"
touch "$out/none/libcublas.so.13" "$out/none/libcublasLt.so.13" "$out/none/libcudnn.so.9"
without() { LD_LIBRARY_PATH=$out/none:${LD_LIBRARY_PATH:-} "$@"; }

train native || die "native: $(cat "$out/native.log")"
grep -q "matmul native, conv native, no TF32" "$out/native.log" || die "the header does not name the algorithms: $(cat "$out/native.log")"
[[ ! -e $TWEEDIE_AUTOTUNE_FILE ]] || die "a native run measured something"

without train fallback --matmul auto --conv auto || die "auto, without libraries: $(cat "$out/fallback.log")"
cmp -s "$out/native/results.json" "$out/fallback/results.json" || die "auto without libraries is not native"
grep -q -- "--matmul auto: libcublas.so.13 was not found (.*); the native kernels serve" "$out/fallback.log" ||
  die "auto does not say that cuBLAS is missing: $(cat "$out/fallback.log")"
grep -q -- "--conv auto: libcudnn.so.9 was not found (.*); the native kernels serve" "$out/fallback.log" ||
  die "auto does not say that cuDNN is missing: $(cat "$out/fallback.log")"
for flag in "--matmul cublas" "--conv cudnn"; do
  status=0
  # shellcheck disable=SC2086 # two words
  without train refused $flag || status=$?
  [[ $status == 1 ]] || die "$flag without the library: status $status, expected 1"
  if [[ $(wc -l <"$out/refused.log") != 1 ]] || ! grep -q -- "$flag: lib.* was not found" "$out/refused.log"; then
    die "$flag without the library says: $(cat "$out/refused.log")"
  fi
done
for flag in "--matmul cublas" "--conv cudnn" --tf32; do
  status=0
  # shellcheck disable=SC2086
  run mlp:16x2 cpu --device cpu $flag || status=$?
  [[ $status == 1 ]] || die "$flag on the cpu: status $status, expected 1: $(cat "$out/cpu.log")"
done

if ! run unet:4x1 library --device cuda --matmul cublas --conv cudnn; then
  grep -qE "was not found|gave CU[A-Z]*_STATUS" "$out/library.log" || die "library: $(cat "$out/library.log")"
  echo "libraries: skipped what needs them: $(cat "$out/library.log")"
  exit 0
fi
run unet:4x1 on_cpu --device cpu || die "on the cpu: $(cat "$out/on_cpu.log")"
near "$(loss library)" "$(loss on_cpu)" || die "the losses are $(loss library) by libraries, $(loss on_cpu) on the cpu"
grep -q '"matmul": "cublas"' "$out/library/config.json" || die "config.json does not say which path ran"
train tf32 --tf32 || die "TF32: $(cat "$out/tf32.log")"
grep -q "conv native, TF32" "$out/tf32.log" || die "the header does not name TF32: $(cat "$out/tf32.log")"

train first --matmul auto --conv auto || die "auto: $(cat "$out/first.log")"
grep -q '"choice": "\(native\|library\)"' "$TWEEDIE_AUTOTUNE_FILE" || die "no choices were written"
cp "$TWEEDIE_AUTOTUNE_FILE" "$out/before.json"
train second --matmul auto --conv auto || die "auto, again: $(cat "$out/second.log")"
cmp -s "$TWEEDIE_AUTOTUNE_FILE" "$out/before.json" || die "shapes were measured twice"
cmp -s "$out/first/results.json" "$out/second/results.json" || die "two runs by the same choices differ"
train graph --matmul auto --conv auto --graph || die "auto, as a graph: $(cat "$out/graph.log")"
cmp -s "$TWEEDIE_AUTOTUNE_FILE" "$out/before.json" || die "a captured step was measured"
cmp -s "$out/first/results.json" "$out/graph/results.json" || die "a graph by the same choices differs"
echo '{"card": {"key": 3}}' >"$TWEEDIE_AUTOTUNE_FILE"
train broken --matmul auto && die "a broken file of choices is taken"
grep -q "autotune.json: not a file of the autotuner's choices" "$out/broken.log" || die "broken file: $(cat "$out/broken.log")"
echo "libraries: every choice ran"
