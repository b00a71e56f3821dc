#!/bin/sh
# usage: make_stubs.sh REAL_LIBRARY OUTPUT.s PREFIX OBJECT...
# For every function that the real library exports and our objects do not define: a stub that prints its name and stops,
# or, for the per-thread-stream twins (_ptsz, _ptds) of a function that we have, a jump to it.
set -eu
real=$1 output=$2 prefix=$3
shift 3
nm --defined-only "$@" 2>/dev/null | awk '$2 == "T" || $2 == "W" { print $3 }' | sort -u > "$output.have"
nm -D --defined-only "$real" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | grep "^$prefix" | sort -u > "$output.all"
{
  echo '  .section .note.GNU-stack,"",@progbits'
  echo '  .text'
  comm -13 "$output.have" "$output.all" | while read -r name; do
    base=${name%_ptsz}
    base=${base%_ptds}
    printf '  .globl %s\n  .type %s, @function\n%s:\n' "$name" "$name" "$name"
    if [ "$base" != "$name" ] && grep -qx "$base" "$output.have"; then
      printf '  jmp %s@PLT\n' "$base"
    else
      printf '  leaq .Ltext_%s(%%rip), %%rdi\n  jmp vgpu_missing@PLT\n' "$name"
      printf '  .section .rodata\n.Ltext_%s: .asciz "%s"\n  .text\n' "$name" "$name"
    fi
    printf '  .size %s, .-%s\n' "$name" "$name"
  done
} > "$output.tmp"
mv "$output.tmp" "$output"
