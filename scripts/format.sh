#!/usr/bin/env bash
# Formats every source file; with --check, changes nothing and fails where a file is not formatted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=(-i)
[[ ${1:-} == --check ]] && mode=(--dry-run --Werror)
git ls-files -z -- '*.h' '*.cpp' '*.cu' '*.cuh' | xargs -0 --no-run-if-empty clang-format --style=file "${mode[@]}"
