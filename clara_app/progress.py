"""Progress bars of a run, and a Ctrl-C that keeps what is finished."""

import contextlib
import signal
from collections.abc import Iterator
from threading import Event


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[Event]:
    """Yield an Event that the first Ctrl-C sets; a second Ctrl-C interrupts as usual."""
    stop = Event()
    before = signal.getsignal(signal.SIGINT)

    def on_interrupt(*_):
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


class ProgressBars:
    """A progress bar for each stage, shown on a terminal only."""

    def __init__(self):
        self._bars = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for bar in self._bars.values():
            bar.close()

    def update(self, stage: str, share: float) -> None:
        """Show that this share of a stage is done, from 0 to 1; a new stage closes the bars before it."""
        from tqdm import tqdm

        if stage not in self._bars:
            self.__exit__()
            self._bars[stage] = tqdm(total=100, unit=" %", disable=None, desc=stage, leave=False)
        bar = self._bars[stage]
        bar.update(int(100 * share) - bar.n)
