#!/usr/bin/env bash
# Three hosts on one machine, each a network namespace: the client, whose only neighbour is the proxy, and the origin
# behind that. Nobody routes between the two links, so what reaches the origin has come through a program on the proxy.
#
#   netns.sh DIR [DELAY_MS [LOSS_PERCENT]]      runs until its input closes (Ctrl-D)
#
#   client  198.51.100.2                   knows the name proxy.example
#   proxy   198.51.100.1, 198.51.100.17    knows the name origin.example
#   origin  198.51.100.18
#
# DELAY_MS and LOSS_PERCENT are one way, between client and proxy, by a relay of our own: many kernels lack tc's netem.
# DIR/queries has a line for each name that a program on the client has asked its name server for, which knows none.
# DIR/client, DIR/proxy and DIR/origin hold the number of a process on that host, so that
# `nsenter --target $(cat DIR/client) --net --mount COMMAND` runs a program there. The hosts have no names on the
# machine, and everything that runs on them ends with this.
# Debian packages: iproute2, python3. Needs root, and for delay and loss /dev/net/tun.
source "$(dirname "$0")/serve.sh"

[ $# -ge 1 ] && [ $# -le 3 ] || die "usage: netns.sh DIR [DELAY_MS [LOSS_PERCENT]]"
[ "$(id -u)" -eq 0 ] || die "needs root, for network namespaces"
mkdir -p "$1"; dir=$(cd "$1" && pwd) delay=${2:-0} loss=${3:-0} here=$(cd "$(dirname "$0")" && pwd)
declare -A hosts=()

# wait_for WHAT COMMAND...: until it succeeds, as long as the last program runs.
wait_for() {
  local what=$1 _; shift
  for _ in $(seq 1000); do
    "$@" && return 0
    kill -0 "${pids[-1]}" 2>/dev/null || break
    sleep 0.01
  done
  tail -n 30 "$dir/netns.log" >&2
  die "$what did not start"
}

comm_is() { [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ]; }
has_link0() { inside "$1" ip link show link0 >/dev/null 2>&1; }

# host NAME KNOWN_HOSTS: a process that sleeps in namespaces of its own.
host() {
  mkdir "$dir/$1.etc"
  printf '127.0.0.1 localhost\n%s\n' "$2" > "$dir/$1.etc/hosts"
  printf 'nameserver 127.0.0.1\noptions attempts:1 timeout:1\n' > "$dir/$1.etc/resolv.conf"
  echo 'hosts: files dns' > "$dir/$1.etc/nsswitch.conf"
  launch "$dir/netns.log" unshare --net --mount --propagation private bash -c '
    for file in hosts resolv.conf nsswitch.conf; do
      [ ! -e "/etc/$file" ] || mount --bind "$0/$file" "/etc/$file" || exit
    done
    echo 0 > /proc/sys/net/ipv4/ip_forward
    ip link set lo up && exec sleep infinity' "$dir/$1.etc"
  wait_for "$1" comm_is "${pids[-1]}" sleep
  [ ! "/proc/${pids[-1]}/ns/net" -ef /proc/$$/ns/net ] || die "$1 is the machine itself"
  hosts[$1]=${pids[-1]}
  echo "${pids[-1]}" > "$dir/$1"
}

inside() { nsenter --target "${hosts[$1]}" --net --mount "${@:2}"; }

# link NAME HOST ADDRESS [HOST ADDRESS]
link() {
  local name=$1; shift
  while [ $# -gt 0 ]; do
    inside "$1" ip addr add "$2/28" dev "$name"
    inside "$1" ip link set "$name" up
    shift 2
  done
}

# Who runs on a host, but for the processes that hold the hosts.
inhabitants() {
  local proc pid host own=" ${hosts[*]} "
  for proc in /proc/[0-9]*; do
    pid=${proc#/proc/}
    [[ $own != *" $pid "* ]] || continue
    for host in ${hosts[@]+"${hosts[@]}"}; do [ ! "$proc/ns/net" -ef "/proc/$host/ns/net" ] || echo "$pid"; done
  done
}

# Start scripts among them need a moment for their own end.
end_all() {
  local left tries=0 signal
  trap '' INT TERM HUP PIPE
  while left=$(inhabitants) && [ -n "$left" ]; do
    signal=TERM
    [ $((tries += 1)) -le 300 ] || signal=KILL
    kill -s "$signal" $left 2>/dev/null || true
    sleep 0.01
  done
  end
}
trap end_all EXIT

host client '198.51.100.1 proxy.example'
host proxy '198.51.100.18 origin.example'
host origin '198.51.100.18 origin.example'

if [ "$delay" = 0 ] && [ "$loss" = 0 ]; then
  ip link add link0 netns "${hosts[client]}" type veth peer name link0 netns "${hosts[proxy]}"
else
  launch "$dir/netns.log" /usr/bin/python3 "$here/netns-relay.py" "${hosts[client]}" "${hosts[proxy]}" "$delay" "$loss"
  wait_for relay has_link0 client
  wait_for relay has_link0 proxy
fi
ip link add link1 netns "${hosts[proxy]}" type veth peer name link1 netns "${hosts[origin]}"
link link0 client 198.51.100.2 proxy 198.51.100.1
link link1 proxy 198.51.100.17 origin 198.51.100.18

launch "$dir/netns.log" nsenter --target "${hosts[client]}" --net --mount /usr/bin/python3 "$here/netns-queries.py" "$dir/queries"
wait_for 'the name server' test -e "$dir/queries"
ready
