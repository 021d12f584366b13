"""Never finishes its import."""

import threading

print("importing for ever")
threading.Event().wait()
