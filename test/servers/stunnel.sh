#!/usr/bin/env bash
# stunnel: TLS in front of a plain server. It makes an HTTPS proxy of an HTTP proxy.
#
#   stunnel.sh DIR PORT TARGET_PORT      runs until its input closes (Ctrl-D)
#
# DIR/tls/ca.pem signed its certificate. With the PEM of an authority in CLIENT_CA it ends the connection, with a TLS
# alert, of a client that shows no certificate of that authority.
# Debian packages: stunnel4, openssl.
source "$(dirname "$0")/serve.sh"

[ $# -eq 3 ] || die "usage: stunnel.sh DIR PORT TARGET_PORT"
mkdir -p "$1"; dir=$(cd "$1" && pwd)
"$(dirname "$0")/tls-ca.sh" ca "$dir/tls"
"$(dirname "$0")/tls-ca.sh" server "$dir/tls" proxy localhost "$listen" 127.0.0.1 ::1
[ -z "${CLIENT_CA:-}" ] || printf '%s\n' "$CLIENT_CA" > "$dir/tls/client-ca.pem"
cat > "$dir/stunnel.conf" <<CONF
foreground = yes
pid =
[tls]
accept = $listen:$2
connect = $listen:$3
cert = $dir/tls/proxy.pem
key = $dir/tls/proxy.key
sslVersionMin = TLSv1.2
${CLIENT_CA:+CAfile = $dir/tls/client-ca.pem
verifyChain = yes}
CONF
launch "$dir/stunnel.log" stunnel4 "$dir/stunnel.conf"
wait_port "$2" "${pids[0]}" "$dir/stunnel.log"
ready
