# Sourced by the start scripts beside it. Each runs one real server in the foreground, inside the
# directory it is given, prints "ready" when the server answers, and ends it when its input closes:
# by hand, Ctrl-D. A test run that dies takes its servers along, and with THROW_AWAY set the directory.
#
# Every server listens on LISTEN (default 127.0.0.1; another address in a network namespace, see netns.sh). A proxy
# connects onwards from OUTGOING (each has its own default, 127.0.0.x) and alone knows the host names in PRIVATE_HOSTS,
# all of which are PRIVATE_ADDRESS (default 127.0.0.1).
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY

listen=${LISTEN:-127.0.0.1}
pids=()
stand_ins=() # pairs: a file of ours, the path it stands for

die() { echo "${0##*/}: $*" >&2; exit 2; }

# stand_in PATH TEXT: what `launch` starts from now on finds TEXT in the file PATH, and nothing else on the machine does.
stand_in() {
  [ "$(id -u)" -eq 0 ] || die "needs root, for a mount namespace with its own $1"
  printf '%s\n' "$2" > "$dir/${1##*/}"
  stand_ins+=("$dir/${1##*/}" "$1")
}

# The hosts file of a proxy.
hosts() { printf '127.0.0.1 localhost\n%s\n' "${PRIVATE_HOSTS:+${PRIVATE_ADDRESS:-127.0.0.1} $PRIVATE_HOSTS}"; }

# For programs that have no setting for it. What is not in the hosts file fails at once, not after a DNS timeout.
stand_in_hosts() {
  [ -n "${PRIVATE_HOSTS:-}" ] || return 0
  stand_in /etc/hosts "$(hosts)"
  [ ! -e /etc/resolv.conf ] || stand_in /etc/resolv.conf $'nameserver 127.0.0.1\noptions attempts:1 timeout:1'
}

# launch LOG COMMAND...: in the background, in its own process group, so that Ctrl-C reaches this script only.
launch() {
  local log=$1; shift
  # The process namespace is for `end`: nothing in it outlives its first process, not even what left the group.
  [ ${#stand_ins[@]} -eq 0 ] || set -- unshare --mount --pid --fork --kill-child --propagation private bash -c '
    for ((pairs = $0; pairs > 0; pairs--)); do mount --bind "$1" "$2" || exit; shift 2; done
    exec "$@"' $((${#stand_ins[@]} / 2)) "${stand_ins[@]}" "$@"
  setsid "$@" </dev/null >>"$log" 2>&1 &
  pids+=($!)
}

# wait_port PORT PID LOG
wait_port() {
  local _
  for _ in $(seq 600); do
    (exec 3<>"/dev/tcp/$listen/$1") 2>/dev/null && return 0
    kill -0 "$2" 2>/dev/null || break
    sleep 0.05
  done
  tail -n 30 "$3" >&2
  die "nothing answers on port $1"
}

# Whether the group has a running process. `kill -0` would also count the dead that nobody has collected yet.
group_runs() {
  local stat state parent group _
  for stat in /proc/[0-9]*/stat; do
    { read -r stat < "$stat"; } 2>/dev/null || continue
    read -r state parent group _ <<< "${stat##*) }"
    [ "$group" != "$1" ] || [ "$state" = Z ] || return 0
  done
  return 1
}

# Nobody needs what is in the directory, so nobody needs a graceful end. KILL also spares squid's three seconds.
end() {
  local pid
  trap '' INT TERM HUP PIPE
  for pid in ${pids[@]+"${pids[@]}"}; do
    # Before `setsid` has run there is no such group.
    kill -KILL -- "-$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  # Of what those had started, `wait` knows nothing.
  for pid in ${pids[@]+"${pids[@]}"}; do while group_runs "$pid"; do sleep 0.01; done; done
  [ -z "${THROW_AWAY:-}" ] || rm -rf "${dir:?}"
}
trap end EXIT
trap 'exit 130' INT TERM HUP PIPE

ready() {
  echo ready
  # In the background, because a signal is heard while waiting for a job but not while one runs in front.
  cat <&0 >/dev/null &
  pids+=($!)
  wait $!
}
