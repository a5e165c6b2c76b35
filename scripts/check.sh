#!/usr/bin/env bash
# Checks everything that CI checks. Needs Go; what else is there is used:
#
#   java and Google's emulators   the same tests on the official Firestore and
#                                 Pub/Sub (REQUIRE_EMULATORS=1: fail without)
#   terraform                     the configuration (REQUIRE_TERRAFORM=1: likewise)
#   chromium                      serve's page in a browser (REQUIRE_BROWSER=1: likewise)
#   golangci-lint 2               .golangci.yml (REQUIRE_GOLANGCI_LINT=1: likewise)
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s (after %d s)\n' "$*" "$SECONDS"; }

step gofmt
unformatted=$(gofmt -l $(git ls-files --cached --others --exclude-standard '*.go'))
if [ -n "$unformatted" ]; then
	printf 'not formatted (gofmt -w):\n%s\n' "$unformatted"
	exit 1
fi

step "go.mod is tidy"
go mod tidy -diff

step vet
go vet ./...

step staticcheck
staticcheck=$(go tool -n -modfile=scripts/dev/tools.mod staticcheck)
"$staticcheck" ./...

# Not a tool of tools.mod: building it takes longer than all tests.
step golangci-lint
if command -v golangci-lint >/dev/null; then
	golangci-lint run ./...
	(cd examples && golangci-lint run ./...)
elif [ "${REQUIRE_GOLANGCI_LINT:-}" = 1 ]; then
	echo "golangci-lint is not installed (https://golangci-lint.run/docs/welcome/install/)"
	exit 1
else
	echo "skipped: golangci-lint is not installed"
fi

# Modules of their own: what they import is not to be deployed.
for module in examples scripts/dev/bench; do
	step "$module"
	(cd "$module" && go mod tidy -diff && go vet ./... && "$staticcheck" ./...)
done

# A test that waits for something has a bound of its own; these bounds end what hangs.
# Tests mostly wait: two packages at a time for each processor, and the modules and
# Terraform's own tests beside.
tests() {
	go test -C scripts/dev/bench -race -timeout 40m ./... &
	bench=$!
	terraform/check.sh validate & # its tests are run by the Go tests of ./terraform
	terraform=$!
	trap 'kill $bench 2>/dev/null; wait $terraform' EXIT
	go test -C examples -race ./... || return
	go test -race -timeout 40m -p $((2 * $(getconf _NPROCESSORS_ONLN))) \
		$(go list ./... | grep -v /scripts/dev/proof) || return
	wait $terraform || { echo "terraform/check.sh failed"; return 1; }
	wait $bench
}
export -f tests
step "tests, terraform"
go run ./scripts/dev/emulators -if-found -- bash -uc tests

# Faults in time need a machine that does nothing else, as far as that can be had.
step proof
go run ./scripts/dev/emulators -if-found -- go test -race -timeout 40m ./scripts/dev/proof

step fuzz
scripts/dev/fuzz.sh
