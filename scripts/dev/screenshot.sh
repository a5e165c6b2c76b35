#!/usr/bin/env bash
# Makes docs/inspector.png anew, the README's picture of serve's page: a view that the
# page's test takes on its way. Needs Chromium. With a folder as argument it leaves
# the pictures of all views there, for review.
set -euo pipefail
cd "$(dirname "$0")/../.."

views=${1:-$(mktemp -d)}
mkdir -p "$views" docs
views=$(cd "$views" && pwd)
SCREENSHOTS=$views REQUIRE_BROWSER=1 go test -count=1 -run '^TestPage$' ./scripts/geminihook/serve
cp "$views/inspector.png" docs/inspector.png
[ $# -gt 0 ] || rm -r "$views"
ls -l docs/inspector.png
