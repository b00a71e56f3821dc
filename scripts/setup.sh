#!/usr/bin/env bash
# Installs the Debian 12 packages that Tweedie needs and this machine lacks (plus any named as arguments).
set -euo pipefail

packages=(
  build-essential cmake ninja-build pkg-config git
  libdnnl-dev libhwy-dev librandom123-dev libcli11-dev nlohmann-json3-dev libeigen3-dev libfmt-dev libpng-dev zlib1g-dev
  gnuplot-nox libgtest-dev libgmock-dev libbenchmark-dev dataset-fashion-mnist "$@"
)

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "setup.sh: this is not a Debian system; install what these packages hold: ${packages[*]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "setup.sh: needs root to install: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "setup.sh: installing ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
  "$@" >"$log" 2>&1 || {
    cat "$log" >&2
    echo "setup.sh: failed: $*" >&2
    exit 1
  }
}
quietly "${as_root[@]}" apt-get -qq update
quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get -qq -y install --no-install-recommends "${missing[@]}"
