#!/usr/bin/env bash
# A throw-away certificate authority and what it signs. Needs openssl.
#
#   tls-ca.sh ca     DIR                     DIR/ca.pem, DIR/ca.key
#   tls-ca.sh server DIR NAME HOST_OR_IP...  DIR/NAME.pem (leaf and CA), DIR/NAME.key
#   tls-ca.sh client DIR NAME                the same for a client: CN=NAME
#
# Keys are EC P-256: they take milliseconds to make.
set -euo pipefail

die() { echo "tls-ca: $*" >&2; exit 2; }
[ $# -ge 2 ] || die "usage: tls-ca.sh ca DIR | tls-ca.sh server DIR NAME HOST_OR_IP... | tls-ca.sh client DIR NAME"
command=$1 dir=$2; shift 2
mkdir -p "$dir"

new_key() { ( umask 077; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null ); }

# san HOST_OR_IP... -> "DNS:a,IP:b"
san() {
  local out="" host
  for host in "$@"; do
    case $host in
      *:*|[0-9]*.[0-9]*.[0-9]*.[0-9]*) out+="IP:$host," ;;
      *) out+="DNS:$host," ;;
    esac
  done
  printf '%s' "${out%,}"
}

# sign NAME COMMON_NAME EXTENSIONS
sign() {
  new_key "$dir/$1.key"
  openssl req -new -key "$dir/$1.key" -subj "/O=proxy integration tests/CN=$2" |
    openssl x509 -req -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -set_serial "0x$(openssl rand -hex 12)" -days 30 \
      -extfile <(printf 'basicConstraints=critical,CA:FALSE\n%s\n' "$3") -out "$dir/$1.leaf.pem" 2>/dev/null
  cat "$dir/$1.leaf.pem" "$dir/ca.pem" > "$dir/$1.pem"
  rm "$dir/$1.leaf.pem"
}

case $command in
  ca)
    new_key "$dir/ca.key"
    openssl req -x509 -new -key "$dir/ca.key" -days 30 -subj "/O=proxy integration tests/CN=Test CA" \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out "$dir/ca.pem"
    ;;
  server)
    [ $# -ge 2 ] || die "server needs NAME and at least one host name or address"
    name=$1; shift
    sign "$name" "$1" $'extendedKeyUsage=serverAuth\nsubjectAltName='"$(san "$@")"
    ;;
  client)
    [ $# -eq 1 ] || die "client needs NAME"
    sign "$1" "$1" extendedKeyUsage=clientAuth
    ;;
  *) die "unknown command: $command" ;;
esac
