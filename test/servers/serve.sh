# Sourced by the start scripts beside it. Each runs one real server in the foreground, inside the
# directory it is given, prints "ready" when the server answers, and ends it when its input closes:
# by hand, Ctrl-D. A test run that dies takes its servers along.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY

pids=()

die() { echo "${0##*/}: $*" >&2; exit 2; }

# launch LOG COMMAND...: in the background, in its own process group, so that Ctrl-C reaches this script only.
launch() {
  local log=$1; shift
  setsid "$@" </dev/null >>"$log" 2>&1 &
  pids+=($!)
}

# wait_port PORT PID LOG
wait_port() {
  local _
  for _ in $(seq 600); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
    kill -0 "$2" 2>/dev/null || break
    sleep 0.05
  done
  tail -n 30 "$3" >&2
  die "nothing answers on port $1"
}

# The directory is thrown away with the server, so nobody needs a graceful end. KILL also spares squid's three seconds.
end() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
}
trap end EXIT
trap 'exit 130' INT TERM HUP

ready() {
  echo ready
  # In the background, because a signal is heard while waiting for a job but not while one runs in front.
  cat <&0 >/dev/null &
  pids+=($!)
  wait $!
}
