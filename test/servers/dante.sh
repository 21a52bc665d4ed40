#!/usr/bin/env bash
# Dante, a SOCKS4 and SOCKS5 server. It has no SOCKS4a: it takes the marker 0.0.0.x for the address and answers 91.
#
#   dante.sh DIR PORT [USER PASSWORD]      runs until its input closes (Ctrl-D)
#
# With USER and PASSWORD it takes SOCKS5 with that password only; SOCKS4 has none. It refuses port 9: SOCKS5 reply 2.
# DIR/dante.log tells who was connected where. It connects from 127.0.0.4.
# Debian packages: dante-server, openssl. Needs root: Dante asks the system for users and host names, so it gets its
# own passwd, shadow and hosts in a mount namespace.
source "$(dirname "$0")/serve.sh"

[ $# -eq 2 ] || [ $# -eq 4 ] || die "usage: dante.sh DIR PORT [USER PASSWORD]"
mkdir -p "$1"; dir=$(cd "$1" && pwd) port=$2 method=none
stand_in_hosts
if [ $# -eq 4 ]; then
  method=username
  stand_in /etc/passwd "$(printf '%s:/:/bin/false\n' root:x:0:0: nobody:x:65534:65534: "$3:x:64999:64999:")"
  stand_in /etc/shadow "$3:$(printf '%s' "$4" | openssl passwd -6 -stdin):19000:0:99999:7:::"
fi

cat > "$dir/dante.conf" <<CONF
logoutput: stdout
internal: $listen port = $port
external: ${OUTGOING:-127.0.0.4}
clientmethod: none
socksmethod: $method
user.privileged: $(id -un)
user.unprivileged: $([ "$(id -u)" -ne 0 ] && id -un || echo nobody)
client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
# A rule that names a host would block every name of the same address.
socks block { from: 0.0.0.0/0 to: 0.0.0.0/0 port = 9 }
socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 log: connect }
CONF
launch "$dir/dante.log" danted -f "$dir/dante.conf" -N 1 -p "$dir/dante.pid"
wait_port "$port" "${pids[0]}" "$dir/dante.log"
ready
