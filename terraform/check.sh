#!/bin/sh
# Checks the configuration: its format, its validity, and the tests in tests/, in
# which every provider is mocked: no cloud is read or changed.
#
#	terraform/check.sh         all of that
#	terraform/check.sh plan    prints the mocked plans of all runs, as
#	                           `terraform test -json -verbose` does: Go tests read them
#	terraform/check.sh graph   prints which resource depends on which
#
# The providers' schemas come from the public registry, or from where Terraform's own
# configuration file (TF_CLI_CONFIG_FILE) says. If they cannot be had, or there is no
# terraform, this says so on standard error and exits with 3 (check: with 0, unless
# REQUIRE_TERRAFORM=1).
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

# overridden reports whether Terraform's configuration file names a provider of its
# own in dev_overrides. Such a provider is not installed: init would ask the registry.
overridden() {
	grep -qs '^[^#]*"hashicorp/google" *=' "${TF_CLI_CONFIG_FILE:-$HOME/.terraformrc}"
}

command -v terraform >/dev/null || skip "no terraform in PATH"

if overridden; then
	# Of its own, so that several may run at once.
	TF_DATA_DIR=$(mktemp -d)
	export TF_DATA_DIR
	trap 'rm -rf "$TF_DATA_DIR"' EXIT
	terraform get >/dev/null
elif ! once terraform init -backend=false -input=false -no-color >&2; then
	skip "the providers can be had neither from the registry nor through TF_CLI_CONFIG_FILE"
fi

case $mode in
check)
	terraform fmt -check -recursive -diff . ../examples/terraform
	terraform validate -no-color
	terraform test -no-color
	;;
plan)
	terraform test -json -verbose
	;;
graph)
	terraform graph
	;;
*)
	echo "usage: $0 [check|plan|graph]" >&2
	exit 2
	;;
esac
