"""A terminal gets a bar, a log gets few plain lines; both say how long it will take."""

import io

from rotdis.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def _run(total, seconds_per_step, *, initial=0, interval=10.0, metrics=None):
    file, clock = io.StringIO(), Clock()
    with Progress(total, initial=initial, interval=interval, file=file, clock=clock) as progress:
        for done in range(initial + 1, total + 1):
            clock.now += seconds_per_step
            progress.update(done, metrics)
    return file.getvalue().splitlines()


def test_plain_lines_are_at_least_an_interval_apart_and_tell_the_end():
    lines = _run(100, 1.0)
    assert len(lines) == 11  # the first, then one in ten seconds, and the last
    assert "100/100" in lines[-1]
    assert not any("\r" in line or "\x1b" in line for line in lines)


def test_the_time_left_follows_from_the_steps_done():
    lines = _run(121, 1.0, interval=60.0)
    assert "61/121" in lines[1] and "01:00 left" in lines[1]


def test_steps_of_an_earlier_run_do_not_speed_up_the_estimate():
    lines = _run(1041, 1.0, initial=1000, interval=20.0)
    assert "1021/1041" in lines[1] and "00:20 left" in lines[1]


def test_metrics_are_shown_by_their_short_names():
    lines = _run(1, 1.0, metrics={"train/loss": 41.237, "train/kl": 3.0})
    assert "loss 41.24, kl 3" in lines[-1]


def test_a_terminal_gets_a_bar_with_metrics():
    file = Terminal()
    with Progress(10, file=file, label="fit") as progress:
        for done in range(1, 11):
            progress.update(done, {"train/loss": 1.5})
    assert "fit: 100%" in file.getvalue() and "10/10" in file.getvalue()
    assert "loss 1.5" in file.getvalue()


def test_an_interrupted_run_tells_where_it_was():
    file, clock = io.StringIO(), Clock()
    try:
        with Progress(100, interval=1000.0, file=file, clock=clock) as progress:
            for done in range(1, 8):
                progress.update(done)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert "7/100" in file.getvalue().splitlines()[-1]


def test_messages_are_written_in_both_forms():
    for file in (io.StringIO(), Terminal()):
        with Progress(3, file=file) as progress:
            progress.update(1)
            progress.write("a message")
        assert "a message\n" in file.getvalue()


def test_nothing_to_do_is_no_error():
    with Progress(0, file=io.StringIO()) as progress:
        progress.update(0)
