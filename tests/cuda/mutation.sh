#!/usr/bin/env bash
# usage: mutation.sh VGPU_RUN CUDA_TESTS [FILTER]: every mutant of every kernel and operation must fail cuda_tests.
# A kernel is mutated by TWEEDIE_MUTATE (mutation.h) and, on the virtual GPU, by vgpu-run --mutate as well, which drops
# its last store instruction; an operation by TWEEDIE_MUTATE. Each mutant meets the tests that launch it, the quickest
# first. With FILTER, as of --gtest_filter, only these tests and the kernels and operations that they launch are taken.
set -euo pipefail
vgpu_run=$1 tests=$2 filter=${3-}
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
virtual=yes
if [[ -e /dev/nvidiactl ]]; then virtual=""; fi

run() { timeout 900 "$here/run.sh" "$vgpu_run" none "$tests" "$@"; }
run --record-launches "$work/launches" --gtest_brief=1 --gtest_filter="${filter:-*}" >"$work/log" 2>&1 || {
  status=$?
  cat "$work/log"
  exit "$status" # 77: no device
}
"$tests" --list-kernels >"$work/kernels"
"$tests" --list-operations >"$work/operations"
if [[ -n $filter ]]; then
  cut -f 1 "$work/launches" | sort -u >"$work/kernels"
  while read -r operation; do
    if grep -q "CudaParity.*/cuda_${operation}_" "$work/launches"; then echo "$operation"; fi
  done <"$work/operations" >"$work/some"
  mv "$work/some" "$work/operations"
fi

survivors=0 mutants=0
# fails FILTER COMMAND...: whether one of these tests fails under the command, which runs the tests.
fails() {
  local status=0
  "${@:2}" --gtest_filter="$1" --gtest_fail_fast --gtest_brief=1 >"$work/log" 2>&1 || status=$?
  if [[ $status == 2 ]]; then
    cat "$work/log"
    exit 1
  fi
  [[ $status != 0 ]]
}
# judge MUTANT TESTS COMMAND...: the tests stand one a line, the quickest first.
judge() {
  mutants=$((mutants + 1))
  local some=$work/some rest=$work/rest
  head -n 4 "$2" >"$some"
  tail -n +5 "$2" | head -n 200 >"$rest"
  for part in "$some" "$rest"; do
    if [[ -s $part ]] && fails "$(paste -s -d : "$part")" "${@:3}"; then return; fi
  done
  survivors=$((survivors + 1))
  echo "survives: $1"
}
mutated() { TWEEDIE_MUTATE=$1 run "${@:2}"; }
virtually_mutated() { timeout 900 "$vgpu_run" --check none --mutate "$1" "$tests" "${@:2}"; }

while read -r kernel; do
  awk -F '\t' -v kernel="$kernel" '$1 == kernel { print $3 "\t" $2 }' "$work/launches" | sort -n | cut -f 2 >"$work/tests"
  if [[ ! -s $work/tests ]]; then
    survivors=$((survivors + 1))
    echo "no test launches $kernel"
    continue
  fi
  judge "$kernel, its last change put back" "$work/tests" mutated "$kernel"
  if [[ -n $virtual ]]; then judge "$kernel, its last store dropped" "$work/tests" virtually_mutated "$kernel"; fi
done <"$work/kernels"

while read -r operation; do
  echo "Quick/CudaParity.*/cuda_${operation}_*" >"$work/tests"
  judge "operation $operation" "$work/tests" mutated "$operation"
done <"$work/operations"

echo "mutation: $mutants mutants of $(wc -l <"$work/kernels") kernels and $(wc -l <"$work/operations") operations, $survivors survive"
[[ $survivors == 0 ]]
