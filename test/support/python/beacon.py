"""Lets handlers tell a test what happens in them."""

import socket


class Beacon:
    """Talks to the test over UDP: tells it what happens here, and waits for its word."""

    def __init__(self, port):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._test = ("127.0.0.1", port)

    def tell(self, text):
        self._socket.sendto(text.encode(), self._test)

    def wait(self, text):
        self.tell(text)
        return self._socket.recv(1024).decode()
