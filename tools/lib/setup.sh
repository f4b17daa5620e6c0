# shellcheck shell=bash
# Sourced by tools/quickstart and tools/test: install what is missing, choose Bazel's settings, build.
# Both must stay quick and quiet when there is nothing to do. The caller sets steps, their number, and
# for_tests=1 if what only tests need is wanted too.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$top"

step() {
	step_number=$((${step_number:-0} + 1))
	printf '[%d/%d] %s\n' "$step_number" "${steps:?}" "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Prints "package what-for" lines of tools/lib/packages. $1: the major version of Debian's Bazel, or
# "none" if Bazel came from somewhere else.
needed() {
	local package when purpose
	while read -r package when purpose; do
		case $package in '' | '#'*) continue ;; esac
		[ "$1" = none ] && [[ $package = bazel-* ]] && continue
		case $when in
		always) ;;
		bazel7) [ "${1/none/0}" -ge 7 ] || continue ;;
		test) [ -n "${for_tests:-}" ] || continue ;;
		bench) continue ;;
		*) die "tools/lib/packages: $package: when is '$when'?" ;;
		esac
		printf '%s %s\n' "$package" "$purpose"
	done <tools/lib/packages
}

# The packages among those of needed() that are not installed.
missing() {
	local installed
	installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' | sed -n 's/ installed$//p')
	needed "$1" | sed 's/ .*//' | grep -vxF "$installed" || true
}

# The major version of Debian's Bazel, installed or to be; "none" if the Bazel in PATH is not Debian's.
# The program itself cannot be asked: Debian's 4.2.3 does not know its version.
debian_bazel() {
	local version
	if command -v bazel >/dev/null && ! dpkg-query -S "$(readlink -f "$(command -v bazel)")" >/dev/null 2>&1; then
		echo none
		return
	fi
	version=$(dpkg-query -W -f '${Version}' bazel-bootstrap 2>/dev/null || true)
	[ -n "$version" ] || version=$(apt-cache show --no-all-versions bazel-bootstrap 2>/dev/null | sed -n 's/^Version: //p')
	echo "${version%%.*}"
}

# Runs apt-get and prints its progress in steps of ten per cent; its own words only if it fails.
apt() {
	local log kind percent rest shown=0 sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	log=$(mktemp)
	# Status lines go to the pipe and all else to the log. Within sh, as sudo closes descriptors; and the log
	# is opened out here, as root may not open a file of ours in /tmp (fs.protected_regular).
	# shellcheck disable=SC2016
	if $sudo env DEBIAN_FRONTEND=noninteractive sh -c 'exec 3>&1 1>&2; exec apt-get "$@"' \
		sh -q -y -o APT::Status-Fd=3 -o DPkg::Lock::Timeout=300 "$@" 2>"$log" |
		while IFS=: read -r kind rest percent rest; do
			percent=${percent%%.*}
			if [ "$kind" = pmstatus ] && [[ $percent =~ ^[0-9]+$ ]] && [ "$percent" -ge $((shown + 10)) ]; then
				shown=$((percent - percent % 10))
				printf '      %d %%\n' "$shown"
			fi
		done; then
		rm -f "$log"
	else
		tail -n 20 "$log" >&2
		die "apt-get $1 failed; its whole output is in $log"
	fi
}

install_packages() {
	local bazel packages
	if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
		step "Packages: this system has no apt, so nothing is installed"
		if ! command -v bazel >/dev/null; then
			echo "Please install these; the names are Debian's:"
			needed 0 | sed -E 's/^([^ ]+) /  \1: /'
			exit 1
		fi
		return
	fi
	bazel=$(debian_bazel)
	mapfile -t packages < <(missing "${bazel:-0}")
	if [ ${#packages[@]} = 0 ]; then
		step "Packages: all there"
		return
	fi
	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
		die "there is no sudo to install packages with; run as root: apt-get update && apt-get install ${packages[*]}"
	fi
	step "Packages: looking for what is missing"
	apt update
	# Only now is it certain which Bazel this release has.
	bazel=$(debian_bazel)
	[ -n "$bazel" ] || die "this release has no package bazel-bootstrap; please install Bazel (https://bazel.build/install)"
	mapfile -t packages < <(missing "$bazel")
	echo "      installing ${packages[*]}"
	apt install --no-install-recommends "${packages[@]}"
	# A running server still believes that they are missing.
	bazel shutdown >/dev/null 2>&1 || true
}

# Debian's Bazel 7 needs --config=offline7 (see .bazelrc). It goes to user.bazelrc, which .bazelrc reads, so
# that `bazel build` by hand works too. Other lines in that file are the user's own and are left alone.
choose_config() {
	local now want=
	if command -v dpkg-query >/dev/null && [[ $(debian_bazel) =~ ^[0-9]+$ ]] && [ "$(debian_bazel)" -ge 7 ]; then
		want='common --config=offline7'
	fi
	now=$(grep -x 'common --config=offline[0-9]*' user.bazelrc 2>/dev/null || true)
	if [ "$now" != "$want" ]; then
		[ -z "$now" ] || sed -i '/^common --config=offline[0-9]*$/d' user.bazelrc
		[ -z "$want" ] || echo "$want" >>user.bazelrc
	fi
}

# Quiet but for errors, and progress on a terminal.
bazel_build() {
	local quiet=("--ui_event_filters=-info,-warning")
	[ -t 2 ] || quiet+=(--noshow_progress)
	bazel build "${quiet[@]}" "$@"
}
