"""What `python3 -m http.server` cannot do by itself: start slowly, and leak when it gets SIGUSR1.

Python imports a module of this name at its start when it finds one; the tests put this directory
into PYTHONPATH of the members that need it, and change nothing else about the server.
"""

import os
import signal
import time

leak = []

if "LEAK_BYTES" in os.environ:
    signal.signal(signal.SIGUSR1, lambda *_: leak.append(b"x" * int(os.environ["LEAK_BYTES"])))
time.sleep(float(os.environ.get("START_DELAY", "0")))
