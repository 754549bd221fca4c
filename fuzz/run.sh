#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds the fuzz targets, with the usual toolchain and the crates that the program is made of, and
# runs each for a while. What it finds stays below target/fuzz/found.
# Usage: fuzz/run.sh SECONDS [TARGET...]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
shift
if [ $# -eq 0 ]; then
  for file in fuzz/fuzz_targets/*.rs; do set -- "$@" "$(basename "$file" .rs)"; done
fi
cargo=${CARGO:-cargo}
folder=$PWD/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

# The versions that are shipped; cargo adds libFuzzer's alone.
cp Cargo.lock fuzz/Cargo.lock
# What cargo-fuzz asks of the compiler, without the sanitizers, which a stable one does not have: there
# is no unsafe code of ours for them to watch.
flags=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares)
bins=()
for target; do bins+=(--bin "$target"); done
RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR="$folder" "$cargo" build --quiet --release \
  --manifest-path fuzz/Cargo.toml --target "$host" "${bins[@]}"

# One target; says in a line how it went.
run() {
  local target=$1 log="$folder/$1.log"
  mkdir -p "$folder/corpus/$target"
  if "$folder/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
    -max_len=65536 -print_final_stats=1 -artifact_prefix="$folder/found/$target-" \
    "$folder/corpus/$target" "fuzz/corpus/$target" > "$log" 2>&1; then
    echo "fuzz: $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs"
  else
    tail -n 40 "$log"
    echo "fuzz: $target fails: target/fuzz/found/$target-*" >&2
    touch "$folder/failed"
  fi
}
mkdir -p "$folder/found"
rm -f "$folder/failed"
for target; do
  while [ "$(jobs -rp | wc -l)" -ge "${FUZZ_JOBS:-$(nproc)}" ]; do wait -n; done
  run "$target" &
done
wait
[ ! -e "$folder/failed" ]
