"""Both directions between the trainer and its runner: JSON lines on STOKER_CONTROL_FD (docs/protocol.md), and the
signals that ask it to stop. Run by hand, without a runner, the lines go nowhere and the signals mean the same."""
import json
import os
import signal


def say(t, **fields):
    fd = os.environ.get("STOKER_CONTROL_FD")
    if fd:
        os.write(int(fd), (json.dumps({"t": t, **fields}) + "\n").encode())  # unbuffered: a kill loses no line


class Preempted(BaseException):
    """The run ends here because somebody asked for it, with nothing left to save."""


class Stop:
    """SIGTERM and SIGINT. Before the first step, which may be long in compiling, there is nothing to save and the
    run ends at once; later the loop finishes its step and saves."""

    def __init__(self):
        self.is_asked, self.can_wait = False, False
        signal.signal(signal.SIGTERM, self.on_signal)
        signal.signal(signal.SIGINT, self.on_signal)

    def on_signal(self, *_):
        self.is_asked = True
        if not self.can_wait:
            raise Preempted
