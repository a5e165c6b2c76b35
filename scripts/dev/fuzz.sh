#!/usr/bin/env bash
# Runs every fuzz target for a while each: a Go -fuzztime, a duration or a number of
# runs. What it finds is left in the target's testdata/fuzz, to be committed.
#
#   scripts/dev/fuzz.sh          2,000 runs each, as the check does
#   scripts/dev/fuzz.sh 10m      ten minutes each
set -euo pipefail
cd "$(dirname "$0")/../.."

packages=$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u) # fails where there are none

# One target: its package and its name. The output is printed only if it fails.
fuzz() {
	out=$(go test "./$1" -run '^$' -fuzz "^$2\$" -fuzztime "$fuzztime" -fuzzminimizetime 100x -parallel 1 2>&1) ||
		{ printf '%s\n' "$out"; exit 255; } # which ends xargs
	echo "ok  $1 $2"
}
export -f fuzz
export fuzztime=${1:-2000x}

# A target mostly waits for its build and for one worker: as many at a time as there are
# processors.
for package in $packages; do
	grep -ho '^func Fuzz[A-Za-z0-9]*' "$package"/*_test.go | cut -d' ' -f2 | sed "s#^#$package #"
done | xargs -P "$(getconf _NPROCESSORS_ONLN)" -L1 bash -c 'fuzz "$@"' fuzz
