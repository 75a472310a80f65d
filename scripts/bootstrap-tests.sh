#!/usr/bin/env bash
# Installs what the tests and lint need besides scripts/bootstrap.sh. Asks nothing, changes nothing
# when all is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/packages.sh
. "$here/packages.sh"

packages=(
	libcmocka-dev                                               # unit tests
	python3-pytest python3-pytest-timeout python3-redis python3-yaml # tests of real processes
	clang-format clang-tidy cppcheck shellcheck lua-check pyflakes3 # lint
	git openssl procps
)
packages_install "${packages[@]}"
say "ready"
