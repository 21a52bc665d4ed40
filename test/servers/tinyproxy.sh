#!/usr/bin/env bash
# Tinyproxy: a small HTTP proxy (forwarding and CONNECT) that answers in its own ways: 200 to CONNECT as HTTP/1.0,
# 401 to a wrong password, a forwarded connection closed without saying so.
#
#   tinyproxy.sh DIR PORT [USER PASSWORD]      runs until its input closes (Ctrl-D)
#
# Debian package: tinyproxy-bin. USER and PASSWORD: letters and digits, its configuration takes no more. It connects
# from 127.0.0.3.
source "$(dirname "$0")/serve.sh"

[ $# -eq 2 ] || [ $# -eq 4 ] || die "usage: tinyproxy.sh DIR PORT [USER PASSWORD]"
mkdir -p "$1"; dir=$(cd "$1" && pwd)
cat > "$dir/tinyproxy.conf" <<CONF
Port $2
Listen $listen
Bind ${OUTGOING:-127.0.0.3}
Timeout 60
MaxClients 100
ViaProxyName "tinyproxy.test"
LogLevel Connect
LogFile "$dir/tinyproxy.log"
${3:+BasicAuth $3 $4}
CONF
launch "$dir/tinyproxy.out" tinyproxy -d -c "$dir/tinyproxy.conf"
wait_port "$2" "${pids[0]}" "$dir/tinyproxy.out"
ready
