#!/bin/sh
# Installs what the e2e suite drives the chain with, where it is missing: from Debian, as root, Chromium with fonts,
# ldapsearch, the AWS CLI, boto3, Node.js, Samba, Apache with mod_auth_mellon and mod_auth_openidc, and SimpleSAMLphp
# with PHP; the npm packages that package-lock.json names; and dex, which Go compiles once.
set -eu
cd "$(dirname "$0")"

wanted=""
want() { # want PROGRAM PACKAGE
	command -v "$1" >/dev/null 2>&1 || wanted="$wanted $2"
}
command -v chromium >/dev/null 2>&1 || want chromium-headless-shell chromium-headless-shell
want ldapsearch ldap-utils
want aws awscli
want node nodejs
want npm npm
want samba-tool "samba samba-ad-dc samba-ad-provision winbind ldb-tools"
want openssl openssl
want php php-cli

# Packages without a program in PATH.
file() { # file FILE PACKAGE
	[ -e "$1" ] || wanted="$wanted $2"
}
file /usr/sbin/apache2 apache2
file /usr/lib/apache2/modules/mod_auth_mellon.so libapache2-mod-auth-mellon
file /usr/lib/apache2/modules/mod_auth_openidc.so libapache2-mod-auth-openidc
file /usr/share/simplesamlphp/www simplesamlphp
php -m 2>/dev/null | grep -qx dom || wanted="$wanted php-xml"
file /usr/lib/python3/dist-packages/boto3 python3-boto3
# Without them Korean and Japanese are boxes in the pictures.
file /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc fonts-noto-cjk

if [ -n "$wanted" ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "peers.sh: run as root, or install:$wanted" >&2
		exit 1
	fi
	# The packages' scripts must not start Samba's daemons or Apache; Debian asks this file.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod +x /usr/sbin/policy-rc.d
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q
	# shellcheck disable=SC2086 # several words on purpose
	apt-get install -y -q --no-install-recommends $wanted
fi
npm ci --no-audit --no-fund --ignore-scripts
# While tests run, that would take their processors for a minute.
go build -C dex -buildvcs=false -o /dev/null .
