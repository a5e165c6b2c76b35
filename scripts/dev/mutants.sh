#!/usr/bin/env bash
# Mutation testing: changes one comparison, bound, sum or connective at a time, and runs
# the package's tests. KILLED means that a test failed, as it should. LIVED means that no
# test failed: either a test is missing, or the change does not affect behaviour.
#
#   scripts/dev/mutants.sh                    webhook, dedup and receiver: six minutes
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
