#!/bin/bash
# A throw-away Active Directory: a Samba domain controller on one loopback address, all of it in one folder.
#
#   dc.sh missing            what this machine lacks, and how to get it; nothing is installed here
#   dc.sh make DIR           a new domain with the people and groups below, not started
#   dc.sh up DIR | down DIR  start (after make, if need be) and stop; up prints the flags for nightlatch demo
#   dc.sh run DIR            the same in the foreground
#   dc.sh save DIR FILE      pack a stopped domain;   dc.sh load FILE DIR: unpack it, here or elsewhere
#   dc.sh modify DIR         apply the LDIF on standard input, whether the domain runs or not
#
# LDAP's ports cannot be moved in Samba, so the address is one that nothing else uses: DC_IP, 127.0.77.10 if not set.
# Everything runs as root, because provisioning sets owners and access lists; without root it fails at sysvol.
#
# The domain is ad.corp.example and its short name CORP, as it is where a company's forest has grown: neither can be
# guessed from the other, and the people's names end in @corp.example.
set -euo pipefail

IP=${DC_IP:-127.0.77.10}
REALM=ad.corp.example
BASE=DC=ad,DC=corp,DC=example
PASSWORD='S3cret-Passw0rd!' # everybody's
PACKAGES="samba samba-ad-dc samba-ad-provision winbind ldb-tools openssl"

# Nobody misses this domain after a power cut, and Samba's databases wait for the disk very often.
export TDB_NO_FSYNC=1

# Debian keeps the daemon in sbin, which is not everybody's path.
PATH=$PATH:/usr/sbin:/sbin

missing() {
  local gone=""
  for p in samba samba-tool ldbadd ldbmodify openssl iconv; do
    command -v $p >/dev/null || gone="$gone $p"
  done
  if [ -n "$gone" ]; then
    echo "no$gone here: apt-get install --no-install-recommends $PACKAGES"
    return 1
  fi
  if [ "$(id -u)" != 0 ]; then
    echo "a domain controller is provisioned as root only"
    return 1
  fi
}

make() {
  local dir=$1
  mkdir "$dir"
  dir=$(cd "$dir" && pwd)
  # xattr_tdb keeps Windows' attributes in a file, so that the file system needs none.
  if ! samba-tool domain provision --targetdir="$dir" --realm=${REALM^^} --domain=CORP --host-name=DC1 --host-ip="$IP" \
    --server-role=dc --dns-backend=NONE --adminpass="$(openssl rand -hex 12)-Aa1" \
    --option="interfaces=$IP/8" --option="bind interfaces only=yes" \
    --option="vfs objects=dfs_samba4 acl_xattr xattr_tdb" >"$dir/provision.log" 2>&1; then
    tail -5 "$dir/provision.log" >&2
    return 1
  fi
  settle "$dir"
  people >"$dir/people.ldif"
  ldbadd -H "$dir/private/sam.ldb" "$dir/people.ldif" >/dev/null
  states >"$dir/states.ldif"
  ldbmodify -H "$dir/private/sam.ldb" "$dir/states.ldif" >/dev/null
  # An expired password needs an old pwdLastSet, which nobody may write without Samba's own control for it. A short
  # maximum age would not do: less than a day means "never" to Samba.
  printf 'dn: CN=Frank Silva,OU=Staff,%s\nchangetype: modify\nreplace: pwdLastSet\npwdLastSet: 132000000000000000\n' $BASE >"$dir/expired.ldif"
  ldbmodify -H "$dir/private/sam.ldb" --controls=local_oid:1.3.6.1.4.1.7165.4.3.20:0 "$dir/expired.ldif" >/dev/null
}

# account NAME GIVEN SURNAME: six of them, with what becomes of each in states.
account() {
  cat <<L
dn: CN=$2 $3,OU=Staff,$BASE
objectClass: user
sAMAccountName: $1
userPrincipalName: $1@corp.example
givenName: $2
sn: $3
displayName: $2 $3
mail: $1@corp.example
userAccountControl: 512
unicodePwd:: $(printf '"%s"' "$PASSWORD" | iconv -t UTF-16LE | base64 -w0)

L
}

people() {
  printf 'dn: OU=Staff,%s\nobjectClass: organizationalUnit\n\n' $BASE
  account alice Alice Kim
  account bob Bob Tanaka
  account carol Carol Meyer
  account dave Dave Lee
  account erin Erin Novak
  account frank Frank Silva
  # Reads the directory for Identity Center; its password does not expire (66048 = 512 + 65536).
  account svc-idc Service Account | sed 's/^userAccountControl: 512$/userAccountControl: 66048/'
  # VPN Users holds Engineering, which holds Platform, which holds alice.
  group Platform "CN=Alice Kim"
  group Engineering CN=Platform "CN=Bob Tanaka"
  group "VPN Users" CN=Engineering "CN=Dave Lee" "CN=Erin Novak" "CN=Frank Silva"
}

group() {
  printf 'dn: CN=%s,OU=Staff,%s\nobjectClass: group\nsAMAccountName: %s\n' "$1" $BASE "$1"
  shift
  for m in "$@"; do printf 'member: %s,OU=Staff,%s\n' "$m" $BASE; done
  echo
}

# The domain locks accounts last, or seeding could lock one.
states() {
  cat <<L
dn: CN=Bob Tanaka,OU=Staff,$BASE
changetype: modify
replace: userAccountControl
userAccountControl: 514

dn: CN=Dave Lee,OU=Staff,$BASE
changetype: modify
replace: accountExpires
accountExpires: 132000000000000000

dn: CN=Erin Novak,OU=Staff,$BASE
changetype: modify
replace: pwdLastSet
pwdLastSet: 0

dn: $BASE
changetype: modify
replace: lockoutThreshold
lockoutThreshold: 3
L
}

# settle writes what depends on the folder and the address: smb.conf, because the one that provisioning leaves looks
# into /etc and /var, and a certificate by a CA of its own.
settle() {
  local dir=$1
  mkdir -p "$dir"/{etc,run,ncalrpc,log,winbind,ntp,tls}
  cat >"$dir/etc/smb.conf" <<C
[global]
  netbios name = DC1
  realm = ${REALM^^}
  workgroup = CORP
  server role = active directory domain controller
  server services = ldap
  interfaces = $IP/8
  bind interfaces only = yes
  ldap server require strong auth = yes
  tls enabled = yes
  tls keyfile = $dir/tls/key.pem
  tls certfile = $dir/tls/cert.pem
  tls cafile = $dir/tls/ca.pem
  tls verify peer = no_check
  private dir = $dir/private
  lock directory = $dir
  state directory = $dir/state
  cache directory = $dir/cache
  pid directory = $dir/run
  ncalrpc dir = $dir/ncalrpc
  winbindd socket directory = $dir/winbind
  ntp signd socket directory = $dir/ntp
  log file = $dir/log/samba.log
  logging = file
  log level = 1 auth_audit:3
  dns update command = /bin/true
  nsupdate command = /bin/true
  load printers = no
  disable spoolss = yes
C
  (
    umask 077
    cd "$dir/tls"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=Throw-away CA of $REALM" -keyout ca.key -out ca.pem \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=dc1.$REALM" -keyout key.pem -out request.pem
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out cert.pem \
      -extfile <(printf 'subjectAltName=DNS:dc1.%s,DNS:%s,IP:%s\nextendedKeyUsage=serverAuth\n' $REALM $REALM "$IP")
  ) 2>/dev/null
  printf '%s\n' "$PASSWORD" >"$dir/svc-idc.password"
  printf 'alice:%s\n' "$PASSWORD" >"$dir/users"
}

run() {
  cd "$1" # where a core would go
  # One process, which ends by SIGTERM; it keeps its log files in the folder.
  exec samba --foreground --no-process-group --model=single --configfile="$PWD/etc/smb.conf" >log/stdout 2>&1
}

answers() { (exec 3<>"/dev/tcp/$IP/636") 2>/dev/null; }

up() {
  local dir=$1
  if answers; then
    echo "something answers on $IP already; another address is had by DC_IP=127.0.77.11" >&2
    return 1
  fi
  [ -e "$dir" ] || make "$dir"
  dir=$(cd "$dir" && pwd)
  setsid "$0" run "$dir" </dev/null >/dev/null 2>&1 &
  echo $! >"$dir/run/pid"
  for _ in $(seq 200); do
    if answers; then
      echo "--directory ldaps://$IP --directory-ca $dir/tls/ca.pem --directory-bind svc-idc@corp.example" \
        "--directory-password-file $dir/svc-idc.password --directory-group 'VPN Users' --directory-users $dir/users"
      return
    fi
    sleep 0.05
  done
  tail -20 "$dir/log/stdout" >&2
  return 1
}

down() {
  local pid
  pid=$(cat "$1/run/pid")
  kill "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
  rm "$1/run/pid"
}

save() { tar -czf "$2" -C "$1" --exclude=ldapi --exclude=./tls --exclude=./log --exclude=./run --exclude=./ncalrpc --exclude=./winbind --exclude=./ntp .; }

load() {
  mkdir "$2"
  tar -xzf "$1" -C "$2"
  settle "$(cd "$2" && pwd)"
}

# ldbmodify does not read standard input.
modify() {
  local f
  f=$(mktemp)
  cat >"$f"
  ldbmodify -H "$1/private/sam.ldb" "$f" >/dev/null || { rm "$f"; return 1; }
  rm "$f"
}

verb=${1:-help}
case "$verb $#" in
"missing 1" | "make 2" | "up 2" | "down 2" | "run 2" | "save 3" | "load 3" | "modify 2") "$@" ;;
*)
  sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
  ;;
esac
