"""A worker without a port: it counts, says so, and ends well when asked. pysup start examples/hello/worker.py -i 2."""

import itertools
import os
import signal
import sys
import threading

stopping = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())

for round_number in itertools.count(1):
    print(f"worker {os.environ.get('PYSUP_INSTANCE', '0')}: round {round_number}", flush=True)
    if round_number % 10 == 0:
        print("every tenth round is told as an error", file=sys.stderr, flush=True)
    if stopping.wait(1.0):
        break
