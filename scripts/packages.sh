# shellcheck shell=bash
# Sourced by the bootstrap scripts: installs Debian packages that are missing, and only those.
# When nothing is missing it costs one dpkg-query and touches neither the network nor root.

say() { echo "${0##*/}: $*"; }
fail() { echo "${0##*/}: $*" >&2; exit 1; }

# packages_missing NAME…: prints the names that are not installed.
packages_missing() {
	local installed name
	installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
		sed -n 's/ installed$//p') || true
	for name in "$@"; do
		grep -qxF -e "$name" <<<"$installed" || echo "$name"
	done
}

# packages_as_root COMMAND…: runs it as root without ever asking for a password.
packages_as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo -n "$@"
	fi
}

packages_install() {
	local missing log
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		fail "this installs Debian packages, and there is no apt-get here;" \
			"install what these are called on your system, then run make: $*"
	fi
	mapfile -t missing < <(packages_missing "$@")
	[ "${#missing[@]}" -gt 0 ] || return 0

	say "installing ${#missing[@]} Debian packages: ${missing[*]}"
	if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
		fail "installing needs root, and sudo is missing or asks for a password;" \
			"run this first: sudo apt-get install ${missing[*]}"
	fi
	log=$(mktemp)
	# A source of packages that does not answer may be one that is not needed: the install decides.
	packages_apt update >"$log" 2>&1 || true
	if ! packages_apt install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
		tail -n 15 "$log" >&2
		fail "apt-get could not install ${missing[*]} (no network, or not Debian 12 or newer?); the whole output is in $log"
	fi
	rm -f "$log"
}

packages_apt() {
	packages_as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 \
		-o Dpkg::Options::=--force-confold "$@"
}
