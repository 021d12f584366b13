"""The handlers that the examples of the module documentation call."""

from snakepit_bridge import Context, bidi_stream, client_stream, command, stream


@client_stream
def total(chunks) -> dict:
    return {"sum": sum(chunk["n"] for chunk in chunks)}


@bidi_stream
def score(chunks, limit: int):
    for chunk in chunks:
        yield {"id": chunk["id"], "suspicious": chunk["amount"] > limit}


@command
def load_model(ctx: Context, name: str) -> dict:
    ctx.session["model"] = name
    return {"loaded": name}


@command
def predict(ctx: Context, text: str) -> dict:
    return {"model": ctx.session["model"], "label": "short" if len(text) < 10 else "long"}


@command
def train(ctx: Context, epochs: int) -> dict:
    for epoch in range(epochs):
        ctx.progress((epoch + 1) / epochs)
    return {"epochs": epochs}


@stream
def squares(to: int):
    for n in range(1, to + 1):
        yield {"square": n * n}
