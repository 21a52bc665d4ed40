"""The name server of the client of netns.sh: it knows no name, and writes down which it was asked for.

netns-queries.py FILE
"""
import socket
import sys

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.1', 53))
queries = open(sys.argv[1], 'w', buffering=1)

while True:
    message, client = server.recvfrom(4096)
    # RFC 1035, section 4.1: 12 bytes of header, then the name in parts that begin with their length.
    parts, at = [], 12
    while message[at]:
        parts.append(message[at + 1 : at + 1 + message[at]].decode('latin-1'))
        at += 1 + message[at]
    queries.write('.'.join(parts) + '\n')
    # The question back, as an answer with code 3: there is no such name.
    header = message[:2] + b'\x81\x83' + b'\0\1' + b'\0' * 6
    server.sendto(header + message[12 : at + 5], client)
