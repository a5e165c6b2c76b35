#!/bin/sh
# Checks the format and the validity of the configuration, and runs the tests in tests/.
# The tests mock every provider, so that no cloud is read or changed.
#
#	terraform/check.sh             makes all checks
#	terraform/check.sh validate    all of them except the tests, which the Go tests run
#	terraform/check.sh plan [FILE] prints the mocked plans of all runs, or of those in one
#	                               file of tests/, as `terraform test -json -verbose` does
#	terraform/check.sh graph       prints which resource depends on which
#
# The providers come from the public registry, or from the source in Terraform's
# configuration file (TF_CLI_CONFIG_FILE). If they are not available, or if terraform is
# not installed, this script prints the reason on standard error and exits with 3
# (check and validate: with 0, unless REQUIRE_TERRAFORM=1).
set -eu

cd "$(dirname "$0")"
mode=${1:-check}

skip() {
	echo "terraform: skipped: $*" >&2
	case $mode in
	check | validate) [ "${REQUIRE_TERRAFORM:-}" = 1 ] || exit 0 ;;
	esac
	exit 3
}

# once runs a command under a lock: the tests of two packages may run this script at the
# same time, and init writes into this folder.
once() (
	if command -v flock >/dev/null; then flock 9; fi
	"$@"
) 9>"${TMPDIR:-/tmp}/geminihook-terraform-init-$(id -u)"

# overridden reports whether Terraform's configuration file overrides a provider
# (dev_overrides). For such a provider, init must not run: it would query the registry.
overridden() {
	grep -qs '^[^#]*"hashicorp/google" *=' "${TF_CLI_CONFIG_FILE:-$HOME/.terraformrc}"
}

command -v terraform >/dev/null || skip "terraform is not in PATH"

if overridden; then
	# Each run has its own data folder, so that several can run at the same time.
	TF_DATA_DIR=$(mktemp -d)
	export TF_DATA_DIR
	trap 'rm -rf "$TF_DATA_DIR"' EXIT
	terraform get >/dev/null
elif ! once terraform init -backend=false -input=false -no-color >&2; then
	skip "the providers are available neither from the registry nor through TF_CLI_CONFIG_FILE (see init's output above)"
fi

case $mode in
check | validate)
	terraform fmt -check -recursive -diff . ../examples/terraform
	terraform validate -no-color
	if [ "$mode" = check ]; then terraform test -no-color; fi
	;;
plan)
	terraform test -json -verbose ${2:+-filter="tests/$2"}
	;;
graph)
	terraform graph
	;;
*)
	echo "usage: $0 [check|validate|plan [FILE]|graph]" >&2
	exit 2
	;;
esac
