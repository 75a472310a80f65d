#!/usr/bin/env bash
# bootstrap-coverage.sh BUILD_DIR: makes BUILD_DIR/python, an environment with what tests/coverage/requirements.txt pins:
# the parser that `make coverage` reads the function library with. Changes nothing when all is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/packages.sh
. "$here/packages.sh"
venv=$1/python
requirements=$here/../tests/coverage/requirements.txt
stamp=$venv/.requirements

packages_install python3-venv
if ! cmp -s "$requirements" "$stamp"; then
	say "making the Python environment $venv"
	mkdir -p "$1"
	/usr/bin/python3 -m venv --clear "$venv" || fail "cannot make a virtual environment in $venv"
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: \
		--require-hashes -r "$requirements" ||
		fail "pip could not install what $requirements pins: is the package index reachable from here?"
	cp "$requirements" "$stamp" # last: an interrupted install is made anew
fi
