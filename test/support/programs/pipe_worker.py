"""A worker that knows nothing of Snakepit but its frames, written from the documentation of
Snakepit.Adapter: one request at a time, JSON or MessagePack, and replies that break the rules."""

import base64
import json
import os
import struct
import sys
import time

READ, WRITE = 0, 1
CODEC = sys.argv[1] if len(sys.argv) > 1 else "json"


def encode(value):
    if CODEC == "msgpack":
        import msgpack

        return msgpack.packb(value)
    return json.dumps(value).encode()


def decode(data):
    if CODEC == "msgpack":
        import msgpack

        return msgpack.unpackb(data, strict_map_key=False)
    return json.loads(data)


def read(size):
    data = b""
    while len(data) < size:
        part = os.read(READ, size - len(data))
        if not part:
            sys.exit(0)
        data += part
    return data


def write(data):
    while data:
        data = data[os.write(WRITE, data) :]


def frame(body):
    write(struct.pack(">I", len(body)) + body)


def reply(id, result):
    frame(encode({"id": id, "success": True, "result": result}))


def fail(id, error, **detail):
    message = {"id": id, "success": False, "error": error}
    frame(encode({**message, "detail": detail} if detail else message))


def sleep(id, args):
    time.sleep(args["ms"] / 1000)
    reply(id, {"slept": args["ms"]})


def note(id, args):
    """Leaves a file, so that somebody outside sees the order of things."""
    with open(args["path"], "a") as file:
        file.write(args["text"] + "\n")
    reply(id, {})


def huge(id, args):
    """A reply of so many bytes, larger than allowed."""
    head = encode({"id": id, "success": True})
    frame(head[:-1] + b',"result":{"data":"' + b"x" * args["size"] + b'"}}')


COMMANDS = {
    "ping": lambda id, args: reply(
        id, {"status": "ok", "seen": [dict(r, args={}) for r in SEEN[-20:]]}
    ),
    "echo": lambda id, args: reply(id, args),
    "os_pid": lambda id, args: reply(id, {"os_pid": os.getpid()}),
    "request": lambda id, args: reply(id, {"request": SEEN[-1]}),
    "scalar": lambda id, args: reply(id, 5),
    "nan": lambda id, args: reply(id, {"nan": {"__float__": "nan"}, "raw": {"__bytes__": "AP8="}}),
    "fail": lambda id, args: fail(id, "division by zero"),
    "fail_detail": lambda id, args: fail(id, "no", **args),
    "sleep": sleep,
    "note": note,
    "huge": huge,
    "environment": lambda id, args: reply(id, {"value": os.environ.get(args["name"])}),
    "id_last": lambda id, args: frame(encode({"success": True, "result": {"late": 1}, "id": id})),
    "twice": lambda id, args: (reply(id, {"n": 1}), reply(id, {"n": 2})),
    "unknown_id": lambda id, args: (reply(987_654_321, {}), reply(id, {})),
    "no_success": lambda id, args: frame(encode({"id": id, "status": "fine"})),
    "print": lambda id, args: (write(args["text"].encode()), reply(id, {})),
    "garbage_body": lambda id, args: frame(b'{"id":%d,"success":tru' % id),
    "not_utf8": lambda id, args: frame(b'{"id":%d,"success":true,"result":{"a":"\xff"}}' % id),
    "list_frame": lambda id, args: frame(encode([id])),
    "no_id": lambda id, args: frame(encode({"success": True})),
    "truncated": lambda id, args: (write(struct.pack(">I", 1000) + b'{"id":'), os._exit(3)),
    "huge_header": lambda id, args: write(b"\xff\xff\xff\xff\xff\xff"),
    "zero_header": lambda id, args: write(b"\0\0\0\0\0\0\0\0"),
    "exit": lambda id, args: os._exit(args["status"]),
    "deaf": lambda id, args: time.sleep(3600),
    "complain": lambda id, args: (print(args["text"], file=sys.stderr, flush=True), reply(id, {})),
    "base64": lambda id, args: reply(id, base64.b64decode(args["data"]["__bytes__"]).hex()),
}
SEEN = []


def serve():
    if "--stray" in sys.argv:
        write(b"Loading the model, please wait\n")
    while True:
        (size,) = struct.unpack(">I", read(4))
        request = decode(read(size))
        SEEN.append(request)
        if request.get("type") == "cancel":
            continue
        command = COMMANDS.get(request["command"])
        if command is None:
            fail(request["id"], "unknown", kind="unknown_command", message="no such command")
        else:
            command(request["id"], request["args"])


if __name__ == "__main__":
    serve()
