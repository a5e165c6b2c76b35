#!/bin/sh
# Checks the configuration: its format, its validity, and the tests in tests/, in
# which every provider is mocked: no cloud is read or changed.
#
#	terraform/check.sh         all of that
#	terraform/check.sh plan    prints the mocked plans of all runs, as
#	                           `terraform test -json -verbose` does: Go tests read them
#
# The providers' schemas come from the public registry, or from a stand-in for it
# beside the checkout. Where there is neither, or no terraform, this says so on
# standard error and ends with 3 (checking: with 0, unless REQUIRE_TERRAFORM=1).
set -eu

cd "$(dirname "$0")"
mode=${1:-check}

skip() {
	echo "terraform: skipped: $*" >&2
	if [ "$mode" = check ] && [ "${REQUIRE_TERRAFORM:-}" != 1 ]; then exit 0; fi
	exit 3
}

# once runs a command while nobody else runs one by it: two packages' tests may
# come here at the same time, and init writes into this folder.
once() (
	if command -v flock >/dev/null; then flock 9; fi
	"$@"
) 9>"${TMPDIR:-/tmp}/geminihook-terraform-init-$(id -u)"

command -v terraform >/dev/null || skip "no terraform in PATH"

stand_in=../../shared/terraform/offline.sh
if [ -z "${TF_OFFLINE:-}" ] && [ -x "$stand_in" ]; then
	settings=$("$stand_in")
	eval "$settings"
fi
if [ -n "${TF_OFFLINE:-}" ]; then
	# Of its own, so that several may run at once.
	TF_DATA_DIR=$(mktemp -d)
	export TF_DATA_DIR
	trap 'rm -rf "$TF_DATA_DIR"' EXIT
	terraform get >/dev/null
elif ! once terraform init -backend=false -input=false -no-color >&2; then
	skip "the providers can be had neither from the registry nor from a stand-in"
fi

case $mode in
check)
	terraform fmt -check -recursive -diff
	terraform validate -no-color
	terraform test -no-color
	;;
plan)
	terraform test -json -verbose
	;;
*)
	echo "usage: $0 [check|plan]" >&2
	exit 2
	;;
esac
