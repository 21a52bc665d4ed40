#!/usr/bin/env bash
# HAProxy, the balancer in front of an origin, with the faults that balancers have, and TLS in front of a plain proxy.
#
#   haproxy.sh DIR HTTP HTTPS TLS_PROXY ORIGIN_PORT [PROXY_PORT]      runs until its input closes (Ctrl-D)
#
#   /fault/reject   ends the connection without an answer
#   /fault/silent   forgets the connection: the client hears nothing any more, not even its end. Needs root, and HTTP:
#                   over TLS a late acknowledgement of the handshake may be answered with a reset
#   /fault/503      a backend that refuses connections
#   /fault/504      a backend that never answers, given up after a second
#   anything else   goes to the origin on ORIGIN_PORT, as plain HTTP
#
# TLS_PROXY leads to the plain proxy on PROXY_PORT. DIR/tls/ca.pem signed the certificate of both TLS ports.
# Debian packages: haproxy, openssl.
source "$(dirname "$0")/serve.sh"

[ $# -eq 5 ] || [ $# -eq 6 ] || die "usage: haproxy.sh DIR HTTP HTTPS TLS_PROXY ORIGIN_PORT [PROXY_PORT]"
mkdir -p "$1"; dir=$(cd "$1" && pwd)
"$(dirname "$0")/tls-ca.sh" ca "$dir/tls"
"$(dirname "$0")/tls-ca.sh" server "$dir/tls" origin localhost "$listen" 127.0.0.1 ::1 ${PRIVATE_HOSTS:-}
cat "$dir/tls/origin.key" "$dir/tls/origin.pem" > "$dir/tls/both.pem"
tls="ssl crt $dir/tls/both.pem ssl-min-ver TLSv1.2 alpn http/1.1"

cat > "$dir/haproxy.cfg" <<CONF
global
  maxconn 500
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
frontend main
  bind $listen:$2
  bind $listen:$3 $tls
  http-request reject if { path /fault/reject }
  http-request silent-drop if { path /fault/silent }
  use_backend refused if { path /fault/503 }
  use_backend mute if { path /fault/504 }
  default_backend origin
backend origin
  server origin $listen:$5
backend refused
  retries 0
  server refused $listen:1
backend mute
  timeout server 1s
  server mute unix@$dir/mute.sock
frontend mute_backend
  mode tcp
  bind unix@$dir/mute.sock
  tcp-request inspect-delay 30s
  tcp-request content reject if WAIT_END
CONF
[ $# -eq 5 ] || cat >> "$dir/haproxy.cfg" <<CONF
listen tls_proxy
  mode tcp
  bind $listen:$4 $tls
  server proxy $listen:$6
CONF
haproxy -q -c -f "$dir/haproxy.cfg" || die "bad configuration"
launch "$dir/haproxy.log" haproxy -db -f "$dir/haproxy.cfg"
wait_port "$3" "${pids[0]}" "$dir/haproxy.log"
ready
