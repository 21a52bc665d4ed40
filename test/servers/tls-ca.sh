#!/usr/bin/env bash
# A throw-away certificate authority and what it signs. Needs openssl.
#
#   tls-ca.sh ca     DIR                     DIR/ca.pem, DIR/ca.key
#   tls-ca.sh server DIR NAME HOST_OR_IP...  DIR/NAME.pem (leaf and CA), DIR/NAME.key
#
# Keys are EC P-256: they take milliseconds to make.
set -euo pipefail

die() { echo "tls-ca: $*" >&2; exit 2; }
[ $# -ge 2 ] || die "usage: tls-ca.sh ca DIR | tls-ca.sh server DIR NAME HOST_OR_IP..."
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

case $command in
  ca)
    new_key "$dir/ca.key"
    openssl req -x509 -new -key "$dir/ca.key" -days 30 -subj "/O=proxy integration tests/CN=Test CA" \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out "$dir/ca.pem"
    ;;
  server)
    [ $# -ge 2 ] || die "server needs NAME and at least one host name or address"
    name=$1; shift
    new_key "$dir/$name.key"
    openssl req -new -key "$dir/$name.key" -subj "/O=proxy integration tests/CN=$1" |
      openssl x509 -req -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -set_serial "0x$(openssl rand -hex 12)" -days 30 \
        -extfile <(printf 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=%s\n' "$(san "$@")") \
        -out "$dir/$name.leaf.pem" 2>/dev/null
    cat "$dir/$name.leaf.pem" "$dir/ca.pem" > "$dir/$name.pem"
    rm "$dir/$name.leaf.pem"
    ;;
  *) die "unknown command: $command" ;;
esac
