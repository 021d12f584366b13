"""Its start hook fails."""

from snakepit_bridge import on_start


@on_start
def load_model():
    raise OSError("no such model")
