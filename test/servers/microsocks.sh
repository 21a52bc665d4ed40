#!/usr/bin/env bash
# microsocks: a tiny server that speaks SOCKS5 and nothing else.
#
#   microsocks.sh DIR PORT [USER PASSWORD]      runs until its input closes (Ctrl-D)
#
# DIR/microsocks.log tells where it connected, in the client's words. It connects from 127.0.0.5.
# Debian package: microsocks. Needs root where PRIVATE_HOSTS are set: a mount namespace with its own hosts file.
source "$(dirname "$0")/serve.sh"

[ $# -eq 2 ] || [ $# -eq 4 ] || die "usage: microsocks.sh DIR PORT [USER PASSWORD]"
mkdir -p "$1"; dir=$(cd "$1" && pwd)
stand_in_hosts
launch "$dir/microsocks.log" microsocks -i "$listen" -p "$2" -b "${OUTGOING:-127.0.0.5}" ${3:+-u "$3" -P "$4"}
wait_port "$2" "${pids[0]}" "$dir/microsocks.log"
ready
