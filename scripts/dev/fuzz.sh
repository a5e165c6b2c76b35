#!/usr/bin/env bash
# Runs every fuzz target. The argument is each target's -fuzztime: a duration, or a number
# of runs with an x. A failing input is written to the target's testdata/fuzz; commit it
# with the fix.
#
#   scripts/dev/fuzz.sh          2,000 runs each, as in scripts/check.sh
#   scripts/dev/fuzz.sh 10m      ten minutes each
set -euo pipefail
cd "$(dirname "$0")/../.."

packages=$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u) # fails if there are no targets

# fuzz PACKAGE NAME runs one target. It prints the target's output only if it fails.
fuzz() {
	out=$(go test "./$1" -run '^$' -fuzz "^$2\$" -fuzztime "$fuzztime" -fuzzminimizetime 100x -parallel 1 2>&1) ||
		{ printf '%s\n' "$out"; exit 255; } # 255 makes xargs stop
	echo "ok  $1 $2"
}
export -f fuzz
export fuzztime=${1:-2000x}

# A target mostly waits for its build and uses one worker, so as many targets run at a
# time as there are processors.
for package in $packages; do
	grep -ho '^func Fuzz[A-Za-z0-9]*' "$package"/*_test.go | cut -d' ' -f2 | sed "s#^#$package #"
done | xargs -P "$(getconf _NPROCESSORS_ONLN)" -L1 bash -c 'fuzz "$@"' fuzz
