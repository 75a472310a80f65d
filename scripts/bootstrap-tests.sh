#!/usr/bin/env bash
# Installs what the tests and lint need besides scripts/bootstrap.sh. Asks nothing, changes nothing
# when all is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/packages.sh
. "$here/packages.sh"

packages=(
	libcmocka-dev                                               # unit tests
	python3-pytest python3-pytest-timeout python3-pytest-xdist python3-redis python3-yaml # tests of real processes
	clang-format clang-tidy cppcheck shellcheck lua-check pyflakes3 # lint
	git openssl procps redis-tools
	zsh fish # stoker prints completions for them
)
# examples/clients/ are run with the Go and the Node that are there: Debian's are large, and its npm cannot be installed
# beside a Node package from elsewhere.
command -v go >/dev/null || packages+=(golang-go)
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
packages_install "${packages[@]}"
say "ready"
