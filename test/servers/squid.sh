#!/usr/bin/env bash
# Squid as a forward proxy (forwarding and CONNECT), one process with four ports:
#
#   squid.sh DIR OPEN BASIC TLS TLS_BASIC      runs until its input closes (Ctrl-D)
#
#   OPEN, TLS          ask nobody for a password
#   BASIC, TLS_BASIC   want the user SQUID_USER (default alice) with SQUID_PASSWORD (default secret)
#   TLS, TLS_BASIC     speak TLS to the client; DIR/tls/ca.pem signed their certificate
#
# Its rules refuse port 9 of every origin: 403.
# Debian packages: squid-openssl (or squid), openssl.
# DIR/access.log has one line a request, fields divided by spaces: user (percent-encoded), method, URL, status, port.
# The line of a tunnel is written when the tunnel ends. Squid connects from 127.0.0.2, so an origin on loopback can tell
# a proxied request from a direct one.
source "$(dirname "$0")/serve.sh"

[ $# -eq 5 ] || die "usage: squid.sh DIR OPEN BASIC TLS TLS_BASIC"
mkdir -p "$1"; dir=$(cd "$1" && pwd) open=$2 basic=$3 tls=$4 tls_basic=$5
user=${SQUID_USER:-alice} password=${SQUID_PASSWORD:-secret} lib=/usr/lib/squid name=cloudlane$open

"$(dirname "$0")/tls-ca.sh" ca "$dir/tls"
"$(dirname "$0")/tls-ca.sh" server "$dir/tls" proxy localhost "$listen" 127.0.0.1 ::1
printf '%s:%s\n' "$user" "$(printf '%s' "$password" | openssl passwd -apr1 -stdin)" > "$dir/users"
hosts > "$dir/hosts"

# Started as root, squid becomes the user "proxy" before it opens its files, and refuses to stay root.
run_as=""
if [ "$(id -u)" -eq 0 ]; then
  chown -R proxy:proxy "$dir"; run_as="cache_effective_user proxy"
  setpriv --reuid=proxy --regid=proxy --clear-groups test -w "$dir" || die "the user proxy cannot reach $dir"
fi

cat > "$dir/squid.conf" <<CONF
http_port  $listen:$open name=open
http_port  $listen:$basic name=basic
https_port $listen:$tls name=tls tls-cert=$dir/tls/proxy.pem tls-key=$dir/tls/proxy.key
https_port $listen:$tls_basic name=tlsbasic tls-cert=$dir/tls/proxy.pem tls-key=$dir/tls/proxy.key

auth_param basic program $lib/basic_ncsa_auth $dir/users
auth_param basic realm test proxy
auth_param basic children 1
acl closed myportname basic tlsbasic
acl known proxy_auth REQUIRED
http_access deny closed !known
acl forbidden port 9
http_access deny forbidden
http_access allow all

tcp_outgoing_address ${OUTGOING:-127.0.0.2}
hosts_file $dir/hosts
# A name that is not in the hosts file must fail at once, not after a DNS timeout.
dns_nameservers 127.0.0.1
dns_retransmit_interval 100 milliseconds
dns_timeout 1 seconds
# Squid bug 5405: an upload that fills this buffer (512 KB) faster than the origin reads is now and then taken for ended.
client_request_buffer_max_size 300 MB
cache deny all
cache_mem 8 MB
sslproxy_session_cache_size 0
max_filedescriptors 1024
pinger_enable off
visible_hostname squid.test
netdb_filename none
coredump_dir $dir
pid_filename none
cache_log $dir/cache.log
strip_query_terms off
logformat fields %#un %rm %ru %>Hs %lp
access_log stdio:$dir/access.log logformat=fields
logfile_rotate 0
$run_as
CONF
squid -f "$dir/squid.conf" -k parse >"$dir/parse.log" 2>&1 || { tail -n 5 "$dir/parse.log" >&2; die "bad configuration"; }

# Squid leaves its shared memory behind when it is killed.
trap 'end; rm -f "/dev/shm/$name-"*.shm' EXIT
# -N: one process, no master and worker. -n: squid names its shared memory after the service; two of one name collide.
launch "$dir/cache.log" squid -N -n "$name" -f "$dir/squid.conf"
for port in "$open" "$basic" "$tls" "$tls_basic"; do wait_port "$port" "${pids[0]}" "$dir/cache.log"; done
ready
