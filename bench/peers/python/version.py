"""Prints the versions of what server.py runs on, on one line."""

import platform
from importlib.metadata import version

NAMES = ["python-socketio", "python-engineio", "uvicorn", "uvloop", "httptools", "websockets"]
print(", ".join([f"{name} {version(name)}" for name in NAMES] + [f"Python {platform.python_version()}"]))
