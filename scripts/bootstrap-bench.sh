#!/usr/bin/env bash
# bootstrap-bench.sh [BUILD_DIR]: installs what scripts/bench/ compares stoker with, besides scripts/bootstrap-tests.sh:
# Debian packages, and the npm packages that scripts/bench/peers/package-lock.json pins, into BUILD_DIR/bench-peers.
# Asks nothing, changes nothing when all is there. None of it is needed to build, test or run stoker.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/packages.sh
. "$here/packages.sh"
peers=${1:-build}/bench-peers

packages=(
	ruby-sidekiq ruby-hiredis python3-rq python3-celery beanstalkd # queues
	slurm-wlm parallel                                             # what runs processes
	rclone curl                                                    # what moves checkpoints
)
# Node from elsewhere brings its own npm, which Debian's package would fight with.
command -v npm >/dev/null || packages+=(nodejs npm)
command -v aws >/dev/null || packages+=(awscli)
packages_install "${packages[@]}"

# Last written: an interrupted install is made anew.
stamp=$peers/.package-lock.json
if ! cmp -s "$here/bench/peers/package-lock.json" "$stamp"; then
	say "installing the npm packages of scripts/bench/peers into $peers"
	mkdir -p "$peers"
	rm -f "$stamp"
	cp "$here/bench/peers/package.json" "$here/bench/peers/package-lock.json" "$peers/"
	(cd "$peers" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error) ||
		fail "npm ci could not install what scripts/bench/peers/package-lock.json pins: is the registry reachable from here?"
	cp "$here/bench/peers/package-lock.json" "$stamp"
fi
say "ready"
