"""Handlers that show what Snakepit is for. Import the modules by name, as in
``modules: ["snakepit_bridge.examples.datasets"]``."""
