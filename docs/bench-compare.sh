#!/usr/bin/env bash
# Is one commit slower than another? Builds both, measures them in turn on
# this machine with `mlpc bench --json`, and exits with 1 where the second one
# is slower in every round: a slow spell of the machine does not last them all.
#
#   docs/bench-compare.sh BASE HEAD MODEL.mlp [DATA] [options of mlpc bench]
#   docs/bench-compare.sh BASE HEAD --kernels [options of mlpc bench]
#
# ROUNDS (3), TOLERANCE (10%) and PIN come from the environment; PIN goes
# before what is measured: PIN='taskset -c 1' and the option --threads 1 give
# figures that repeat.
set -euo pipefail

if [ $# -lt 3 ]; then
    sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
base=$1 head=$2
shift 2
rounds=${ROUNDS:-3} tolerance=${TOLERANCE:-10%}
read -ra pin <<<"${PIN:-}"

work=$(mktemp -d)
trap 'git worktree remove --force "$work/tree" 2>/dev/null || true; rm -rf "$work"' EXIT

# One tree and one target directory: dependencies are compiled once.
git worktree add --quiet --detach "$work/tree" "$base"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$work/target}
build() {
    git -C "$work/tree" checkout --quiet --detach "$1"
    (cd "$work/tree" && cargo build --release --locked --quiet)
    cp "$CARGO_TARGET_DIR/release/mlpc" "$work/$2"
}
build "$base" base
build "$head" head

for round in $(seq "$rounds"); do
    echo "== round $round of $rounds" >&2
    "${pin[@]}" "$work/base" bench "$@" --json >"$work/base.json"
    # 0: not slower; 1: slower; 2: something is wrong, and stays wrong.
    code=0
    "${pin[@]}" "$work/head" bench "$@" --baseline "$work/base.json" --tolerance "$tolerance" || code=$?
    [ "$code" -eq 1 ] || exit "$code"
done
echo "$head is slower than $base in $rounds rounds" >&2
exit 1
