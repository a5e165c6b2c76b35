#!/usr/bin/env bash
# Breaks the code on purpose, one comparison, bound, sum or connective after another, and
# runs the package's tests each time. KILLED is what a test noticed; LIVED is a hole in
# the tests, or changes nothing that matters.
#
#   scripts/dev/mutants.sh                    what decides about a delivery: six minutes
#   scripts/dev/mutants.sh ./shared/publish   one package
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# -gt 0 ] || set -- ./shared/webhook ./shared/dedup ./shared/receiver
gremlins=$(go tool -n -modfile=scripts/dev/tools.mod gremlins)
for package in "$@"; do
	echo "-- $package"
	go run ./scripts/dev/emulators -if-found -- "$gremlins" unleash "$package" \
		--invert-logical --invert-loopctrl --timeout-coefficient 5 --output-statuses lt
done
