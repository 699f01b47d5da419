"""One knob for slow builds: TEST_TIME_SCALE=5 gives every wait and every configured timer five times as long."""

import os
import time

SCALE = float(os.environ.get("TEST_TIME_SCALE", "1"))


def seconds(value):
    """A wait in seconds, scaled."""
    return value * SCALE


def setting(milliseconds):
    """A duration as the gateway's settings spell it, scaled by the same factor as the waits around it."""
    return f"{round(milliseconds * SCALE)}ms"


def wait_until(condition, timeout, what):
    """Polls for a state that nobody announces (another process's memory, a counter). Returns its value."""
    deadline = time.monotonic() + seconds(timeout)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds(timeout):.1f} s in vain for: {what}")
        time.sleep(0.005)
