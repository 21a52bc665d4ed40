#!/usr/bin/env bash
# mitmproxy as the proxy of a company that looks into TLS: it opens tunnels itself and signs a certificate of its own for
# each host, which the client has to trust: DIR/tls/ca.pem signed it.
#
#   mitmproxy.sh DIR PORT [USER PASSWORD]      runs until its input closes (Ctrl-D)
#
# It believes every origin, or with the PEM of an authority in UPSTREAM_CA only that one's. It connects from 127.0.0.6.
# DIR/flows.jsonl has a JSON object for each tunnel and each exchange: method, url, status, user, error.
# Debian packages: mitmproxy, openssl.
source "$(dirname "$0")/serve.sh"

[ $# -eq 2 ] || [ $# -eq 4 ] || die "usage: mitmproxy.sh DIR PORT [USER PASSWORD]"
mkdir -p "$1/conf"; dir=$(cd "$1" && pwd)
"$(dirname "$0")/tls-ca.sh" ca "$dir/tls"
cat "$dir/tls/ca.key" "$dir/tls/ca.pem" > "$dir/conf/mitmproxy-ca.pem"
trust=(--ssl-insecure)
if [ -n "${UPSTREAM_CA:-}" ]; then
  printf '%s\n' "$UPSTREAM_CA" > "$dir/upstream-ca.pem"
  trust=(--set "ssl_verify_upstream_trusted_ca=$dir/upstream-ca.pem")
fi
: > "$dir/flows.jsonl"
cat > "$dir/flows.py" <<'PYTHON'
import json
import os

flows = open(os.path.join(os.path.dirname(__file__), 'flows.jsonl'), 'a', buffering=1)

def write(flow, url):
    flows.write(json.dumps({
        'user': flow.metadata.get('proxyauth', [None])[0],
        'method': flow.request.method,
        'url': url,
        'status': flow.response.status_code if flow.response else None,
        'error': flow.error.msg if flow.error else None,
    }) + '\n')

def http_connect(flow):
    write(flow, f'{flow.request.host}:{flow.request.port}')

def response(flow):
    if flow.request.method != 'CONNECT':
        write(flow, flow.request.pretty_url)

error = response
PYTHON
launch "$dir/mitmproxy.log" mitmdump --quiet --listen-host "$listen" --listen-port "$2" --scripts "$dir/flows.py" \
  --set confdir="$dir/conf" --set connection_strategy=lazy --set connect_addr="${OUTGOING:-127.0.0.6}" \
  "${trust[@]}" ${3:+--proxyauth "$3:$4"}
wait_port "$2" "${pids[0]}" "$dir/mitmproxy.log"
ready
