#!/usr/bin/env bash
# Installs what building and running stoker need: Debian packages, and a virtual environment of
# /usr/bin/python3 with the tinygrad that scripts/requirements.txt pins. Asks nothing, changes
# nothing when all is there. Works as root, or as a user who has sudo without a password.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/packages.sh
. "$here/packages.sh"

packages=(
	build-essential pkg-config ca-certificates tzdata
	libevent-dev libssl-dev libhiredis-dev libjansson-dev libyaml-dev libcurl4-openssl-dev libarchive-dev zlib1g-dev libexpat1-dev libzstd-dev
	redis-server       # stoker up starts its own; the service that Debian starts is not used
	clang              # tinygrad compiles its kernels with it
	python3 python3-venv
)

had_redis=$(command -v redis-server || true)
packages_install "${packages[@]}"
if [ -z "$had_redis" ] && [ -d /run/systemd/system ]; then
	say "note: Debian's package also started a Redis of its own on 127.0.0.1:6379, which stoker does not use" \
		"(systemctl disable --now redis-server stops it)"
fi

# Two things that the names of packages do not promise on an older or foreign distribution.
/usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
	fail "/usr/bin/python3 is $(/usr/bin/python3 --version 2>&1), and tinygrad needs 3.11 or newer (Debian 12 has it)"
redis-server --version | grep -qE 'v=([7-9]|[1-9][0-9])\.' ||
	fail "redis-server is older than 7.0, which has no functions: $(redis-server --version)"

# The place where the worker looks by itself (its option --python says another).
if [ "$(id -u)" -eq 0 ]; then
	venv=/var/lib/stoker/venv
else
	venv=${XDG_DATA_HOME:-$HOME/.local/share}/stoker/venv
fi
requirements=$here/requirements.txt
stamp=$venv/.requirements

venv_is_current() {
	cmp -s "$requirements" "$stamp" &&
		"$venv/bin/python" -I -c 'import importlib.util as u; assert u.find_spec("tinygrad")' 2>/dev/null
}

if ! venv_is_current; then
	mkdir -p "$(dirname "$venv")"
	exec 9>"$venv.lock"
	flock 9 # two builds at once make one environment
	if ! venv_is_current; then
		say "making the Python environment $venv with $(grep -oE '^[a-z0-9-]+==[^ ]+' "$requirements" | paste -sd ' ')"
		rm -f "$stamp"
		/usr/bin/python3 -m venv --clear "$venv" || fail "cannot make a virtual environment in $venv"
		"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: \
			--require-hashes -r "$requirements" ||
			fail "pip could not install what $requirements pins: is the package index reachable from here?"
		cp "$requirements" "$stamp" # last: an interrupted install is made anew
	fi
fi
redis=$(redis-server --version | sed -n 's/.* v=\([0-9.]*\) .*/redis \1/p')
tinygrad=$("$venv/bin/python" -I -c 'import importlib.metadata as m; print("tinygrad", m.version("tinygrad"))')
say "ready: $redis, $tinygrad in $venv"
