"""Runs a program in a terminal of its own: terminal.py COLUMNS PROGRAM ARGUMENTS...

What it writes to the terminal comes out here, and its exit status is the one of this program."""

import fcntl
import os
import pty
import struct
import sys
import termios

ROWS = 24


def main(columns, program):
    pid, terminal = pty.fork()
    if pid == 0:
        # Before the program looks.
        size = struct.pack("HHHH", ROWS, columns, 0, 0)
        fcntl.ioctl(1, termios.TIOCSWINSZ, size)
        os.execvp(program[0], program)
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            # This is how Linux says that nobody has the terminal any more.
            break
        if not data:
            break
        os.write(1, data)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
