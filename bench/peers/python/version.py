"""Prints the versions of what server.py runs on, on one line; with `client`, of what client.py does."""

import platform
import sys
from importlib.metadata import version

SERVER = ["uvicorn", "uvloop", "httptools", "websockets"]
NAMES = ["python-socketio", "python-engineio", *(["aiohttp"] if sys.argv[1:] == ["client"] else SERVER)]
print(", ".join([f"{name} {version(name)}" for name in NAMES] + [f"Python {platform.python_version()}"]))
