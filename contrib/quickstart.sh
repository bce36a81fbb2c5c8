#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the gateway and runs it in the foreground with conf/quickstart.lua: on 127.0.0.1 only, with
# a hundred and two test accounts. Everything it needs it installs or makes. Ctrl-C or SIGTERM ends it.
#
#   POSTERN_PORT_OFFSET=N   adds N to every port (2525 SMTP, 2587 and 2465 submission, 2424 LMTP,
#                           2110 and 2995 POP3, 2143 and 2993 IMAP, 2080 control)
#   POSTERN_RELAY=HOST:PORT takes mail for other domains (default: their MX hosts)
#   POSTERN_DATA=DIRECTORY  where mail is kept (default: build/quickstart)
#   POSTERN_BUILD=DIRECTORY where it is built (default: build/release)
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
build=${POSTERN_BUILD:-$here/build/release}
data=${POSTERN_DATA:-$here/build/quickstart}
offset=${POSTERN_PORT_OFFSET:-0}

case $offset in
'' | *[!0-9]*) echo "quickstart: POSTERN_PORT_OFFSET must be a number, not \"$offset\"" >&2; exit 2 ;;
esac

"$here/contrib/packages.sh" build
if [ ! -f "$build/build.ninja" ]; then
	cmake -S "$here" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
		-DPOSTERN_TESTS=OFF >/dev/null
fi
ninja -C "$build" >"$build/build.log" 2>&1 || { tail -n 40 "$build/build.log" >&2; exit 1; }

mkdir -p "$data"
data=$(cd "$data" && pwd)

if [ ! -s "$data/certificate.pem" ]; then
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
		-subj /CN=localhost -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" \
		-keyout "$data/key.pem" -out "$data/certificate.pem" 2>/dev/null
fi
if [ ! -s "$data/users" ]; then
	# One hash for all of them: they share a password, and this is no place for real mail.
	hash=$(echo postern | "$build/postern" password)
	{
		echo "# Accounts of the quick start; the password of each is \"postern\"."
		for name in alice bob $(seq -f 'user%.0f' 1 100); do
			echo "$name@example.test:$hash"
		done
	} >"$data/users.new"
	mv "$data/users.new" "$data/users"
fi

# Started by root, the workers run as nobody, where nobody can read the build and reach the data.
POSTERN_USER=
if [ "$(id -u)" = 0 ]; then
	if setpriv --reuid nobody --regid nogroup --clear-groups \
		test -r "$build/modules/smtp.so" -a -x "$data/.." 2>/dev/null; then
		POSTERN_USER=nobody
		chown -R nobody:nogroup "$data"
	fi
fi

export POSTERN_USER POSTERN_DATA="$data" POSTERN_PORT_OFFSET="$offset" POSTERN_MODULES="$build/modules"
exec "$build/postern" serve --config "$here/conf/quickstart.lua"
