"""Progress bars, and a Ctrl-C that keeps what is finished."""

import os
import signal

import pytest

from clara_app.progress import ProgressBars, stop_on_interrupt


@pytest.fixture
def default_interrupt():
    """Ctrl-C raises, also where pytest runs in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_interrupt")
def test_the_first_ctrl_c_sets_the_event_and_the_second_interrupts():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stop_on_interrupt() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_bars_follow_the_stages(monkeypatch):
    made = []

    class Bar:
        def __init__(self, desc, **_):
            self.desc, self.n, self.closed = desc, 0, False
            made.append(self)

        def update(self, n):
            self.n += n

        def close(self):
            self.closed = True

    monkeypatch.setattr("tqdm.tqdm", Bar)
    with ProgressBars() as bars:
        for stage, share in (("composing", 0.25), ("composing", 1.0), ("ranking", 0.5)):
            bars.update(stage, share)
    assert [(bar.desc, bar.n, bar.closed) for bar in made] == [("composing", 100, True), ("ranking", 50, True)]
