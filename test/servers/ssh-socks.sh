#!/usr/bin/env bash
# OpenSSH's dynamic forwarding (ssh -D): SOCKS4, SOCKS4a and SOCKS5, without a password. A target that it cannot reach
# gets no reply: the connection ends.
#
#   ssh-socks.sh DIR SOCKS SSHD      runs until its input closes (Ctrl-D)
#
# A private sshd on the port SSHD and a connection to it; neither reads or writes the machine's ssh settings. The sshd
# resolves the names. DIR/ssh.log tells what was asked for, in the client's words.
# Debian packages: openssh-server, openssh-client. Needs root where PRIVATE_HOSTS are set: a mount namespace.
source "$(dirname "$0")/serve.sh"

[ $# -eq 3 ] || die "usage: ssh-socks.sh DIR SOCKS SSHD"
mkdir -p "$1"; dir=$(cd "$1" && pwd) socks=$2 sshd=$3
ssh-keygen -q -t ed25519 -N '' -f "$dir/host_key"
ssh-keygen -q -t ed25519 -N '' -f "$dir/user_key"
echo "[$listen]:$sshd $(cut -d' ' -f1-2 "$dir/host_key.pub")" > "$dir/known_hosts"
cat > "$dir/sshd_config" <<CONF
Port $sshd
ListenAddress $listen
HostKey $dir/host_key
PidFile none
AuthorizedKeysFile $dir/user_key.pub
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitRootLogin prohibit-password
AllowTcpForwarding local
PermitTTY no
ForceCommand /bin/false
CONF
stand_in_hosts
if [ "$(id -u)" -eq 0 ]; then
  mkdir -p /run/sshd # As root, sshd insists on it.
  stand_in /etc/shadow 'root:*:19000:0:99999:7:::' # A locked account could not log in.
fi
launch "$dir/sshd.log" /usr/sbin/sshd -D -e -f "$dir/sshd_config"
wait_port "$sshd" "${pids[0]}" "$dir/sshd.log"
stand_ins=()
launch "$dir/ssh.log" ssh -F none -N -vv -i "$dir/user_key" -p "$sshd" -D "$listen:$socks" -o BatchMode=yes \
  -o IdentitiesOnly=yes -o IdentityAgent=none -o UserKnownHostsFile="$dir/known_hosts" -o GlobalKnownHostsFile=none \
  -o ExitOnForwardFailure=yes "$listen"
wait_port "$socks" "${pids[1]}" "$dir/ssh.log"
ready
