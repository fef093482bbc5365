"""Scores of strangers are read in other processes, with limits of time and memory."""

import multiprocessing
import threading

import numpy as np
import pytest
import tiny

from clara.errors import BadMusicFile, NoNotes
from clara.music import limited_reader
from clara.music.limited_reader import LimitedReader, shared_reader
from clara.music.midi import write_midi
from clara.music.read import read_directly, read_music_and_losses

pytestmark = pytest.mark.slow

KERN = "**kern\n*M2/4\n4c\n4d\n=1\n2e\n==\n*-\n"


@pytest.fixture
def score(tmp_path):
    (tmp_path / "piece.krn").write_text(KERN)
    return tmp_path / "piece.krn"


@pytest.fixture(scope="module")
def reader():
    return LimitedReader()


def test_the_notes_are_those_of_reading_directly(reader, score, tmp_path):
    write_midi(tiny.tune(1), tmp_path / "tune.mid")
    for path in (score, tmp_path / "tune.mid"):
        notes, losses = reader.read(path)
        expected, expected_losses = read_directly(path)
        assert np.array_equal(notes.start, expected.start) and np.array_equal(notes.pitch, expected.pitch)
        assert (notes.qpm, notes.time_signatures, losses) == (expected.qpm, expected.time_signatures, expected_losses)


def test_an_error_keeps_its_kind_and_the_name_that_the_user_knows(reader, tmp_path):
    (tmp_path / "silent.krn").write_text("**kern\n4r\n*-\n")
    with pytest.raises(NoNotes, match=r"^my upload: no notes"):
        reader.read(tmp_path / "silent.krn", name="my upload")
    with pytest.raises(BadMusicFile, match="silent.mid"):
        reader.read(tmp_path / "silent.mid")


def test_a_file_that_takes_too_long_ends_its_process_alone(reader, score):
    reader.read(score)
    with pytest.raises(BadMusicFile, match=r"piece\.krn: cannot be read \(Timeout: more than 0 seconds\)"):
        reader.read(score, seconds=0)
    assert len(reader.read(score)[0]) == 3


def test_a_process_that_dies_is_replaced(reader, score):
    reader.read(score)
    process = reader._slots.queue[0]
    process.popen.kill()
    process.popen.wait()
    assert len(reader.read(score)[0]) == 3


def test_a_file_that_takes_too_much_memory(tmp_path):
    small = LimitedReader(memory_mb=64)
    (tmp_path / "large.krn").write_text("**kern\n4c\n" + "!! no music\n" * 2_000_000 + "*-\n")
    (tmp_path / "piece.krn").write_text(KERN)
    with pytest.raises(BadMusicFile, match=r"large\.krn: cannot be read \((OutOfMemory|the reader ended)"):
        small.read(tmp_path / "large.krn")
    assert len(small.read(tmp_path / "piece.krn")[0]) == 3


def test_no_more_processes_than_allowed_and_a_new_one_after_some_files(score, monkeypatch):
    started = []
    real = limited_reader._Process
    monkeypatch.setattr(limited_reader, "_Process", lambda mb: started.append(real(mb)) or started[-1])
    pool = LimitedReader(n_processes=2)
    threads = [threading.Thread(target=pool.read, args=(score,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(started) <= 2
    monkeypatch.setattr(limited_reader, "MAX_FILES", 1)
    pool.read(score)
    assert len(started) > 1


def test_scores_are_read_with_limits_and_midi_files_are_not(score, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(limited_reader.LimitedReader, "read", lambda self, path, *_: read.append(path) or "answer")
    assert read_music_and_losses(score) == "answer"
    write_midi(tiny.tune(1), tmp_path / "tune.mid")
    assert len(read_music_and_losses(tmp_path / "tune.mid")[0]) == 40
    assert len(read_music_and_losses("music21:bach/bwv66.6")[0]) > 100
    assert read == [score]


def _read_in_fork(path, answers):
    answers.put(len(shared_reader().read(path)[0]))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
def test_a_forked_process_has_a_reader_of_its_own(score):
    shared_reader().read(score)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=_read_in_fork, args=(score, answers))
    process.start()
    assert answers.get(timeout=60) == 3
    process.join()
    assert len(shared_reader().read(score)[0]) == 3
