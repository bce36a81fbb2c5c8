#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building (and, with "test", testing) Postern needs, where they
# are missing. Asks for nothing; needs root or sudo only when something is missing.
set -eu

build="build-essential cmake ninja-build pkg-config libuv1-dev libssl-dev liblua5.4-dev libltdl-dev
liblmdb-dev libunbound-dev libxxhash-dev libcrypt-dev libmicrohttpd-dev libjansson-dev libutf8proc-dev
libpcre2-dev libcurl4-openssl-dev libidn2-dev libidn-dev libpsl-dev libseccomp-dev
check
dns-root-data openssl"
test="clang clang-format lld libclang-rt-14-dev ccache python3 libpython3.11-testsuite swaks
libnet-ssleay-perl curl msmtp fetchmail mpop isync offlineimap3 interimap neomutt mutt getmail6 fdm alpine
imapfilter libmail-imapclient-perl dovecot-core dovecot-imapd
postfix libevent-2.1-7 libgnutls-dane0 libidn12 gsasl libsasl2-modules
python3-dkim python3-authres python3-nacl lua5.4 strace util-linux e2fsprogs procps systemd"

wanted=$build
[ "${1:-build}" = test ] && wanted="$build $test"
# Packages of Node.js from elsewhere bring npm along, and exclude Debian's.
if [ "${1:-build}" = test ] && ! command -v npm >/dev/null; then
	wanted="$wanted nodejs npm"
fi

missing=
for package in $wanted; do
	dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' ||
		missing="$missing $package"
done
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || {
	echo "packages.sh: this is no Debian; install what is named in $0 by hand:$missing" >&2
	exit 1
}
as_root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "packages.sh: run this as root, or install by hand:$missing" >&2
		exit 1
	}
	as_root=sudo
fi
echo "packages.sh: installing$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
