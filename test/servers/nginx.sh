#!/usr/bin/env bash
# nginx as the origin:
#
#   nginx.sh DIR HTTP HTTPS [MTLS]      runs until its input closes (Ctrl-D)
#
#   /echo         JSON with what the origin saw: method, URI, Host, Via, client address, SNI, the client certificate's
#                 subject, the credentials that must not leak, and connection/requests: the serial number of the TCP
#                 connection and how many requests it has carried. Equal serials prove reuse.
#   /files/       a real directory (DIR/files): Range, ETag, PUT and DELETE
#   /status/NNN   that status (301 302 303 307 308 400 401 403 404 409 429 500 502 503 504); redirects go to /echo,
#                 429 and 503 carry Retry-After: 1
#   /to-https, /to-http   307 to the other port
#   /ws/          with WS_PORT: the WebSocket server on that port of 127.0.0.1. The header X-Seen of its handshakes says
#                 what /echo would
#   /to-ws        307 to /ws/ on the HTTPS port
#
# DIR/tls/ca.pem signed the certificate of the HTTPS ports. MTLS answers 400 to who brings no certificate of that
# authority; DIR/tls/client.pem and client.key are one. Debian packages: nginx-light (or nginx), openssl.
source "$(dirname "$0")/serve.sh"

[ $# -eq 3 ] || [ $# -eq 4 ] || die "usage: nginx.sh DIR HTTP HTTPS [MTLS]"
mkdir -p "$1"; dir=$(cd "$1" && pwd) http=$2 https=$3 mtls=${4:-}
mkdir -p "$dir/files" "$dir/tmp"
"$(dirname "$0")/tls-ca.sh" ca "$dir/tls"
"$(dirname "$0")/tls-ca.sh" server "$dir/tls" origin localhost "$listen" 127.0.0.1 ::1 ${PRIVATE_HOSTS:-}
"$(dirname "$0")/tls-ca.sh" client "$dir/tls" client
echo "hello from the origin" > "$dir/files/hello.txt"
head -c 1048576 /dev/urandom > "$dir/files/1m.bin"

statuses=""
for code in 301 302 303 307 308; do statuses+="location = /status/$code { return $code /echo; }"$'\n'; done
for code in 400 401 403 404 409 500 502 504; do statuses+="location = /status/$code { return $code 'status $code\n'; }"$'\n'; done
for code in 429 503; do
  statuses+="location = /status/$code { add_header Retry-After 1 always; return $code 'status $code\n'; }"$'\n'
done

web_sockets=""
[ -z "${WS_PORT:-}" ] || web_sockets="
location /ws/ {
  proxy_pass http://127.0.0.1:$WS_PORT;
  proxy_http_version 1.1;
  proxy_set_header Host \$http_host;
  proxy_set_header Upgrade \$http_upgrade;
  proxy_set_header Connection upgrade;
  proxy_set_header X-Seen \$seen;
}
location = /to-ws { return 307 https://\$host:$https/ws/; }"

cat > "$dir/paths.conf" <<CONF
set \$seen '{"method":"\$request_method","uri":"\$request_uri","scheme":"\$scheme","host":"\$http_host","via":"\$http_via","from":"\$remote_addr","connection":\$connection,"requests":\$connection_requests,"sni":"\$ssl_server_name","client":"\$ssl_client_s_dn","authorization":"\$http_authorization","proxyAuthorization":"\$http_proxy_authorization","proxyConnection":"\$http_proxy_connection"}';
location = /echo { default_type application/json; return 200 "\$seen\n"; }
location /files/ { root $dir; dav_methods PUT DELETE; create_full_put_path on; }
location = /to-https { return 307 https://\$host:$https/echo; }
location = /to-http  { return 307 http://\$host:$http/echo; }
$statuses$web_sockets
location / { return 404 'no such path\n'; }
CONF
cat > "$dir/nginx.conf" <<CONF
daemon off;
pid $dir/nginx.pid;
error_log $dir/error.log info;
worker_processes 1;
$([ "$(id -u)" -ne 0 ] || echo 'user root;')   # so that the worker can read DIR wherever it is
events { worker_connections 512; }
http {
  types { text/plain txt; application/json json; }
  default_type application/octet-stream;
  client_body_temp_path $dir/tmp/body; proxy_temp_path $dir/tmp/proxy;
  fastcgi_temp_path $dir/tmp/fcgi; uwsgi_temp_path $dir/tmp/uwsgi; scgi_temp_path $dir/tmp/scgi;
  client_max_body_size 0;
  keepalive_timeout 5s;
  access_log off;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_certificate $dir/tls/origin.pem;
  ssl_certificate_key $dir/tls/origin.key;
  ssl_client_certificate $dir/tls/ca.pem;
  server { listen $listen:$http; listen $listen:$https ssl; include $dir/paths.conf; }
  ${mtls:+server { listen $listen:$mtls ssl; ssl_verify_client on; include $dir/paths.conf; \}}
}
CONF
nginx -q -t -p "$dir" -c "$dir/nginx.conf" -e "$dir/error.log" || die "bad configuration"
launch "$dir/error.log" nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/error.log"
for port in "$http" "$https" $mtls; do wait_port "$port" "${pids[0]}" "$dir/error.log"; done
ready
