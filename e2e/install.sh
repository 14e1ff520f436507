#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that the tests need and this machine lacks. Does nothing, and needs neither
# root nor network, when all are there.
set -euo pipefail

missing=()
have_postgres() {
	{ command -v initdb && command -v postgres; } >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}
have_postgres || missing+=(postgresql)
command -v bindfs >/dev/null || missing+=(bindfs fuse3) # a file system that can't keep the protocol
command -v make >/dev/null || missing+=(make)
command -v gcc >/dev/null || missing+=(gcc libc6-dev) # the race detector is linked with it
# The clients of a package index: Debian's own, whatever else is on the PATH.
/usr/bin/python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv) # pip, as ensurepip has it
/usr/bin/python3 -c 'import setuptools, wheel' 2>/dev/null || missing+=(python3-setuptools python3-wheel)
[ -x /usr/bin/twine ] || missing+=(twine)
/usr/bin/python3 -c 'import django' 2>/dev/null || missing+=(python3-django) # an application behind the proxy
command -v curl >/dev/null || missing+=(curl) # README's walk-through
# Servers that answer from the published pages, each in front of us.
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
command -v caddy >/dev/null || missing+=(caddy)
# Other caches, which the same judge must find to be stale; and what reads the units we print.
command -v varnishd >/dev/null || [ -x /usr/sbin/varnishd ] || missing+=(varnish)
command -v squid >/dev/null || [ -x /usr/sbin/squid ] || missing+=(squid)
command -v systemd-analyze >/dev/null || missing+=(systemd)
# The proof: the model's checker, what lists system calls, and file systems whose power is cut.
PATH=$PATH:/usr/sbin:/sbin
command -v spin >/dev/null || missing+=(spin)
command -v strace >/dev/null || missing+=(strace)
command -v mkfs.xfs >/dev/null || missing+=(xfsprogs)
command -v mkfs.ext4 >/dev/null || missing+=(e2fsprogs)
command -v mount >/dev/null || missing+=(mount)

[ ${#missing[@]} -gt 0 ] || exit 0
echo "e2e/install.sh: installing ${missing[*]}"

fail() {
	echo "e2e/install.sh: $*" >&2
	exit 1
}
command -v apt-get >/dev/null ||
	fail "there is no apt-get here: install by hand what Debian calls ${missing[*]} (PostgreSQL 15 or newer) and try again"
root=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || fail "this needs root, and there is no sudo: run as root: apt-get install ${missing[*]}"
	root=(sudo)
fi
apt() {
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
}
{ apt update && apt install -y --no-install-recommends "${missing[@]}"; } ||
	fail "apt-get could not install ${missing[*]} (see above): check network and /etc/apt, or install by hand"
