#!/usr/bin/python3
"""Asks the governor to open the vault with wrong passphrases, one after another, as fast as it answers: vault_knock.py SOCKET USER GROUP COUNT

Runs in the process namespace of the renter's machine. Prints how often each reason was answered; 0 stands for no answer.
"""

import collections
import json
import os
import socket
import struct
import sys


def knock(path, number):
    passphrase = b"wrong passphrase %d" % number
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(60)
        try:
            door.connect(path)
            door.sendall(struct.pack(">IBBQ", 10 + len(passphrase), 1, 2, 0) + passphrase)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            answer = door.recv(4096)
        except ConnectionResetError:
            return 0
        return answer[6] if len(answer) > 6 else 0


def main():
    path, user, group, count = sys.argv[1], *map(int, sys.argv[2:])
    os.setgid(group)
    os.setuid(user)
    print(json.dumps(collections.Counter(knock(path, number) for number in range(count))))


main()
