#!/usr/bin/env bash
# Apache as an origin with Digest authentication (mod_auth_digest: MD5, qop=auth, RFC 2617):
#
#   apache.sh DIR PORT [REALM]      runs until its input closes (Ctrl-D)
#
#   /digest/   wants the user DIGEST_USER (default alice) with DIGEST_PASSWORD (default secret) in REALM (default test)
#   /once/     the same, but each of its nonces is good for one request, then stale
#   /open/     wants nothing
#
# All of them answer any method with the body they got. DIR/access.log has a JSON object for each request: method, target,
# status, user, authorization, proxyAuthorization, challenge. REALM must have no quotes: Apache lets nobody into such a
# realm, as it compares it with backslashes that the challenge and the answer do not have. Debian packages: apache2-bin
# (which starts nothing by itself), openssl.
source "$(dirname "$0")/serve.sh"

[ $# -eq 2 ] || [ $# -eq 3 ] || die "usage: apache.sh DIR PORT [REALM]"
mkdir -p "$1"; dir=$(cd "$1" && pwd) port=$2 realm=${3:-test}
user=${DIGEST_USER:-alice} password=${DIGEST_PASSWORD:-secret} modules=/usr/lib/apache2/modules
hash=$(printf '%s:%s:%s' "$user" "$realm" "$password" | openssl dgst -md5 -r)
printf '%s:%s:%s\n' "$user" "$realm" "${hash%% *}" > "$dir/users"
cat > "$dir/echo.lua" <<'LUA'
function handle(request)
  request.content_type = 'text/plain'
  request:write(request:requestbody() or '')
  return apache2.OK
end
LUA

# Apache as root would keep one process of root's.
as=()
if [ "$(id -u)" -eq 0 ]; then
  chown -R www-data:www-data "$dir"
  as=(setpriv --reuid=www-data --regid=www-data --clear-groups)
  "${as[@]}" test -w "$dir" || die "the user www-data cannot reach $dir"
fi

load=""
for name in mpm_event authn_core authz_core authz_user authn_file auth_digest lua; do
  load+="LoadModule ${name}_module $modules/mod_$name.so"$'\n'
done
# guarded PATH LIFETIME
guarded() {
  cat <<CONF
<Location "$1">
  AuthType Digest
  AuthName "$realm"
  AuthUserFile $dir/users
  AuthDigestNonceLifetime $2
  Require valid-user
</Location>
CONF
}
cat > "$dir/apache.conf" <<CONF
$load
ServerName apache.test
ServerRoot $dir
DocumentRoot $dir
DefaultRuntimeDir $dir
PidFile $dir/apache.pid
Mutex file:$dir default
Listen $listen:$port
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MinSpareThreads 1
MaxSpareThreads 16
MaxRequestWorkers 16
ErrorLog $dir/error.log
LogLevel warn auth_digest:info
LogFormat "{\"method\":\"%m\",\"target\":\"%U%q\",\"status\":%>s,\"user\":\"%u\",\"authorization\":\"%{Authorization}i\",\"proxyAuthorization\":\"%{Proxy-Authorization}i\",\"challenge\":\"%{WWW-Authenticate}o\"}" json
CustomLog $dir/access.log json
LuaScope thread
<Location "/">
  Require all granted
</Location>
LuaMapHandler ^/ $dir/echo.lua handle
$(guarded /digest/ 300)
$(guarded /once/ 0)
CONF
"${as[@]}" apache2 -t -f "$dir/apache.conf" > "$dir/parse.log" 2>&1 || { tail -n 5 "$dir/parse.log" >&2; die "bad configuration"; }
launch "$dir/apache.log" "${as[@]}" apache2 -D FOREGROUND -f "$dir/apache.conf"
wait_port "$port" "${pids[0]}" "$dir/apache.log"
ready
