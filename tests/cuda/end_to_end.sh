#!/usr/bin/env bash
# usage: end_to_end.sh BIN [NETWORK...]: the programs on cuda at tiny size, against the same on the cpu; with NETWORKs, only
# training, sampling and scores of these, in float32. It needs a device (run.sh).
set -euo pipefail
bin=$1
shift
networks=("$@")
[[ $# -gt 0 ]] || networks=(mlp:16x2 unet:4x1)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
die() {
  echo "end_to_end: $*" >&2
  exit 1
}
number() { sed -n "s/^ *\"$2\": \([-0-9.e+]*\),*$/\1/p" "$1"; }
# numbers FILE.json: every number of it, one a line. floats FILE.npz NAME COUNT [8]: likewise the first of an
# array in it, float32 or float64.
numbers() { grep -oE '(": |^ *)[-0-9][-0-9.e+]*,?$' "$1" | tr -d '": ,'; }
floats() {
  local name start
  name=$(LC_ALL=C grep -obUaF "$2.npy" "$1" | head -n 1 | cut -d : -f 1)
  start=$(LC_ALL=C grep -obUaP '\x93NUMPY' "$1" | cut -d : -f 1 | awk -v name="$name" '$1 > name { print; exit }')
  tail -c "+$((start + 129))" "$1" | head -c "$((${4:-4} * $3))" | od -An -v -w"${4:-4}" -t "f${4:-4}"
}
# alike FILE FILE LIMIT COUNT: both hold COUNT numbers or more, one a line, and they differ by LIMIT of the largest in all.
alike() {
  paste "$1" "$2" | awk -v limit="$3" -v count="$4" '
    function size(x) { return x < 0 ? -x : x }
    { if (NF != 2) bad = 1; a[NR] = $1; b[NR] = $2; if (size($1) > largest) largest = size($1) }
    END { for (i = 1; i <= NR; ++i) if (!(size(a[i] - b[i]) <= limit * largest)) bad = 1; exit bad || NR < count || largest == 0 }'
}
near() { awk -v a="$1" -v b="$2" -v limit="$3" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a != "" && d <= limit * (b < 0 ? -b : b)) }'; }

# Images of 8 x 8 bytes, (24, 1, 8, 8), that need no data set installed.
npy() { # DESCR SHAPE FILE: the header; the values come on standard input
  local header="{'descr': '$1', 'fortran_order': False, 'shape': ($2), }"
  { printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "$header" && cat; } >"$3"
}
awk 'BEGIN { for (i = 0; i < 24 * 64; ++i) printf "\\x%02x", (i * 37 + int(i / 64) * 11) % 256 }' |
  { read -r text || true; printf '%b' "$text"; } | LC_ALL=C npy '|u1' '24, 1, 8, 8' "$out/images.npy"
printf '\x00\x00\x00\x3f\x00\x00\x00\x3e\x00\x00\x40\x3f' | LC_ALL=C npy '<f4' '3,' "$out/t.npy" # 0.5 0.125 0.75

train() {
  "$bin/train_dsm" --data "$out/images.npy" --resolution 8 --network "$1" --steps 3 --batch 4 --log-every 3 \
    --held-out 0 --log-level quiet "${@:2}" >/dev/null
}
for network in "${networks[@]}"; do
  here=$out/${network%%:*}
  train "$network" --device cpu --out "$here-cpu"
  train "$network" --device cuda --out "$here-cuda"
  train "$network" --device auto --graph --micro-batch 3 --out "$here-graph"
  for run in cuda graph; do
    near "$(number "$here-$run/results.json" loss)" "$(number "$here-cpu/results.json" loss)" 1e-5 ||
      die "$network, $run: the losses are $(number "$here-$run/results.json" loss) and $(number "$here-cpu/results.json" loss)"
    grep -q '"device": "cuda"' "$here-$run/config.json" || grep -q '"device": "auto"' "$here-$run/config.json" ||
      die "$network, $run: ran elsewhere"
  done
  checkpoint=$here-cuda/checkpoints/step-00000003
  "$bin/sample" --device cuda --checkpoint "$checkpoint" --n 3 --steps 2 --batch 2 --graph --log-level quiet \
    --out "$here-samples" >/dev/null
  [[ -s $here-samples/arrays/samples.npy ]] || die "$network: no samples"
  "$bin/evaluate_score" --device cuda --checkpoint "$checkpoint" --points "$here-samples/arrays/samples.npy" \
    --t "$out/t.npy" --target "$here-samples/arrays/samples.npy" --grads "$here-grads.safetensors" \
    --out "$here-scores.npz" --log-level quiet >/dev/null
  [[ -s $here-scores.npz && -s $here-grads.safetensors ]] || die "$network: no scores"
done

if [[ $# -gt 0 ]]; then
  echo "end_to_end: training, sampling and scores ran on cuda"
  exit 0
fi

# The closed form at three points, and a whole study: every number as on the cpu.
for device in cpu cuda; do
  "$bin/empirical_score" --device $device --data "$out/images.npy" --points "$out/mlp-samples/arrays/samples.npy" \
    --alpha "$out/t.npy" --sigma "$out/t.npy" --out "$out/closed-$device.npz" --log-level quiet >/dev/null
  floats "$out/closed-$device.npz" score 192 >"$out/score-$device"
  floats "$out/closed-$device.npz" x0 192 >"$out/x0-$device"
  floats "$out/closed-$device.npz" trace_cov 3 8 >"$out/trace_cov-$device"
  "$bin/selective_underfitting" --device $device --data fashion-mnist --subset 64 --resolution 8 --networks mlp:16x1 \
    --view x0 --checkpoints 2,4 --batch 16 --probes 8 --samples 8 --restarts 8 --held-out 0 --log-level quiet \
    --out "$out/study-$device" >/dev/null
  numbers "$out/study-$device/results.json" >"$out/study-$device.numbers"
done
for array in score x0 trace_cov; do
  alike "$out/$array-cpu" "$out/$array-cuda" 1e-5 3 || die "empirical_score: $array is not the cpu's"
done
# Each number by itself: they have different units.
paste "$out/study-cpu.numbers" "$out/study-cuda.numbers" |
  awk '{ d = $1 - $2; if (d < 0) d = -d; if (NF != 2 || !(d <= 1e-5 * ($1 < 0 ? -$1 : $1))) { print; bad = 1 } } END { exit bad || NR < 300 }' ||
  die "selective_underfitting: these numbers are not the cpu's (cpu, cuda)"

TWEEDIE_VALIDATE=cpu train mlp:16x2 --device cuda --out "$out/validated"

# bfloat16: near float32, checked operation by operation, and near what the cpu makes of it.
for network in mlp:16x2 unet:4x1 dit:32x1/2; do
  here=$out/${network%%:*}
  [[ $network == dit:* ]] && train "$network" --device cpu --out "$here-cpu"
  TWEEDIE_VALIDATE=cpu train "$network" --device cuda --precision bfloat16 --out "$here-bfloat16"
  near "$(number "$here-bfloat16/results.json" loss)" "$(number "$here-cpu/results.json" loss)" 1e-2 ||
    die "$network, bfloat16: the losses are $(number "$here-bfloat16/results.json" loss) and $(number "$here-cpu/results.json" loss)"
  [[ $(number "$here-bfloat16/results.json" loss) != $(number "$here-cpu/results.json" loss) ]] ||
    die "$network: nothing was rounded to bfloat16"
  train "$network" --device cpu --precision bfloat16 --out "$here-bfloat16-cpu"
  near "$(number "$here-bfloat16/results.json" loss)" "$(number "$here-bfloat16-cpu/results.json" loss)" 1e-3 ||
    die "$network, bfloat16: the losses are $(number "$here-bfloat16/results.json" loss) and $(number "$here-bfloat16-cpu/results.json" loss) on the cpu"
  "$bin/sample" --device cuda --precision bfloat16 --checkpoint "$here-bfloat16/checkpoints/step-00000003" --n 3 \
    --steps 2 --log-level quiet --out "$here-bfloat16-samples" >/dev/null
  "$bin/evaluate_score" --device cuda --precision bfloat16 --checkpoint "$here-bfloat16/checkpoints/step-00000003" \
    --points "$here-bfloat16-samples/arrays/samples.npy" --t "$out/t.npy" --out "$here-bfloat16.npz" --log-level quiet >/dev/null
done
echo "end_to_end: every program ran on cuda"
