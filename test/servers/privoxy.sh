#!/usr/bin/env bash
# Privoxy, an HTTP proxy (forwarding and CONNECT) that can pass everything on to a second proxy. It changes no body.
#
#   privoxy.sh DIR PORT [FORWARD_RULE]      runs until its input closes (Ctrl-D)
#
# FORWARD_RULE in Privoxy's words: "forward / 127.0.0.1:3128", "forward-socks4a / 127.0.0.1:1080 .".
# DIR/privoxy.log has a line a request, in the common log format except that the status is always 200. Debian package: privoxy.
source "$(dirname "$0")/serve.sh"

[ $# -eq 2 ] || [ $# -eq 3 ] || die "usage: privoxy.sh DIR PORT [FORWARD_RULE]"
mkdir -p "$1"; dir=$(cd "$1" && pwd)
cat > "$dir/config" <<CONF
confdir $dir
# Without its error pages, a 502 or 503 has no reason phrase.
templdir /etc/privoxy/templates
listen-address $listen:$2
hostname privoxy.test
debug 512   # requests
debug 8192  # errors
keep-alive-timeout 5
enable-remote-toggle 0
enable-edit-actions 0
${3:-}
CONF
launch "$dir/privoxy.log" privoxy --no-daemon "$dir/config"
wait_port "$2" "${pids[0]}" "$dir/privoxy.log"
ready
