"""Cannot be imported while there is a certain file."""

import os

if os.path.exists(os.environ["BREAKING_FILE"]):
    raise RuntimeError("broken for now")
