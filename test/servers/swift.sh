#!/usr/bin/env bash
# OpenStack Swift, all in one: proxy, account, container and object servers on a plain directory, with memcached.
# A real object store that checks Signature V4:
#
#   swift.sh DIR PORT ACCOUNT CONTAINER OBJECT MEMCACHED      runs until its input closes (Ctrl-D)
#
#   S3      http://127.0.0.1:PORT/bucket/key, access key test:tester, secret testing, region us-east-1
#   Swift   http://127.0.0.1:PORT/v1/AUTH_test, token from /auth/v1.0
#
# The other four ports are used inside, all on 127.0.0.1. Debian packages: swift-proxy swift-account swift-container
# swift-object memcached. The file system of DIR needs user extended attributes (ext4, xfs, btrfs, newer tmpfs).
source "$(dirname "$0")/serve.sh"

[ $# -eq 6 ] || die "usage: swift.sh DIR PORT ACCOUNT CONTAINER OBJECT MEMCACHED"
mkdir -p "$1"; dir=$(cd "$1" && pwd) port=$2 cache=$6
declare -A ports=([account]=$3 [container]=$4 [object]=$5)
mkdir -p "$dir"/{etc,devices/disk,log}

for kind in account container object; do
  cat > "$dir/etc/$kind-server.conf" <<CONF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${ports[$kind]}
workers = 0
user = $(id -un)
swift_dir = $dir/etc
devices = $dir/devices
mount_check = false
log_address = $dir/no-syslog
fallocate_reserve = 0
disable_fallocate = true
[pipeline:main]
pipeline = $kind-server
[app:$kind-server]
use = egg:swift#$kind
CONF
done
cat > "$dir/etc/proxy-server.conf" <<CONF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port
workers = 0
user = $(id -un)
swift_dir = $dir/etc
log_address = $dir/no-syslog
[pipeline:main]
# listing_formats must stand before s3api, else every listing is a 500.
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl s3api tempauth copy slo dlo versioned_writes symlink proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
# On a busy machine half a second for a connection, and ten for a disk, turn uploads away with 503.
conn_timeout = 10
node_timeout = 60
recoverable_node_timeout = 60
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
storage_domain = ${STORAGE_DOMAIN:-s3.test}
allow_multipart_uploads = true
min_segment_size = 1048576
auth_pipeline_check = false
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$cache
[filter:tempurl]
use = egg:swift#tempurl
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
# Segments as small as this let tests build large objects out of small ones.
rate_limit_under_size = 0
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:proxy-logging]
use = egg:swift#proxy_logging
access_log_address = $dir/no-syslog
CONF
# One replica on one device each. swift-ring-builder does the same in nine runs, each as slow as this one.
/usr/bin/python3 - "$dir/etc" "account:$3" "container:$4" "object:$5" <<'PYTHON' || die "no rings"
import sys
from swift.common.ring import RingBuilder
for kind, port in (argument.split(':') for argument in sys.argv[2:]):
    builder = RingBuilder(4, 1, 0)
    address = {'ip': '127.0.0.1', 'port': int(port), 'replication_ip': '127.0.0.1', 'replication_port': int(port)}
    builder.add_dev({'id': 0, 'region': 1, 'zone': 1, 'device': 'disk', 'meta': '', 'weight': 1.0, **address})
    builder.rebalance()
    builder.get_ring().save(f'{sys.argv[1]}/{kind}.ring.gz')
PYTHON

as_user=()
[ "$(id -u)" -ne 0 ] || as_user=(-u root)
launch "$dir/log/memcached.log" memcached -l 127.0.0.1 -p "$cache" -U 0 -m 16 ${as_user[@]+"${as_user[@]}"}
for kind in account container object; do
  launch "$dir/log/$kind.log" "swift-$kind-server" "$dir/etc/$kind-server.conf" --verbose
done
launch "$dir/log/proxy.log" swift-proxy-server "$dir/etc/proxy-server.conf" --verbose
wait_port "$cache" "${pids[0]}" "$dir/log/memcached.log"
wait_port "${ports[account]}" "${pids[1]}" "$dir/log/account.log"
wait_port "${ports[container]}" "${pids[2]}" "$dir/log/container.log"
wait_port "${ports[object]}" "${pids[3]}" "$dir/log/object.log"
wait_port "$port" "${pids[4]}" "$dir/log/proxy.log"
ready
