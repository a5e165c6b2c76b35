#!/usr/bin/env bash
# Runs every fuzz target for a while each: a Go -fuzztime, a duration or a number of
# runs. What it finds is left in the target's testdata/fuzz, to be committed.
#
#   scripts/dev/fuzz.sh          2,000 runs each, as the check does
#   scripts/dev/fuzz.sh 10m      ten minutes each
set -euo pipefail
cd "$(dirname "$0")/../.."

packages=$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u) # fails where there are none
for package in $packages; do
	for target in $(grep -ho '^func Fuzz[A-Za-z0-9]*' "$package"/*_test.go | cut -d' ' -f2); do
		echo "-- $package $target"
		go test "./$package" -run '^$' -fuzz "^$target\$" -fuzztime "${1:-2000x}" -fuzzminimizetime 100x
	done
done
