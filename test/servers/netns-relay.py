"""The link between two hosts of netns.sh, with a delay and a loss: a TUN device on each, and this between them.

netns-relay.py PID PID DELAY_MS LOSS_PERCENT, where each process stands for the host it runs on.
"""
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x1001

libc = ctypes.CDLL(None, use_errno=True)


def device(pid):
    # A device belongs to the namespace in which it is made; its descriptor works anywhere.
    with open(f'/proc/{pid}/ns/net') as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), 'setns')
    descriptor = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack('16sH', b'link0', IFF_TUN_WITHOUT_HEADER))
    return descriptor


one, other = device(sys.argv[1]), device(sys.argv[2])
peer = {one: other, other: one}
delay, loss = float(sys.argv[3]) / 1000, float(sys.argv[4]) / 100
on_the_way = []
serial = 0

while True:
    wait = max(0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
    for descriptor in select.select([one, other], [], [], wait)[0]:
        packet = os.read(descriptor, 65536)
        if random.random() >= loss:
            serial += 1
            heapq.heappush(on_the_way, (time.monotonic() + delay, serial, peer[descriptor], packet))
    while on_the_way and on_the_way[0][0] <= time.monotonic():
        _, _, descriptor, packet = heapq.heappop(on_the_way)
        try:
            os.write(descriptor, packet)
        except OSError:
            pass  # The device is not up yet.
