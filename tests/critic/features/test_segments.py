"""Segments of a piece, and the members that read them."""

from itertools import pairwise

import numpy as np
import pytest
import tiny

from clara.music.notes import crop, rebuild_notes
from critic import Critic
from critic.features.descriptors import extract_descriptors
from critic.features.segments import SEGMENT_QUARTERS, split_into_segments
from critic.nets.descriptors import segment_descriptors


@pytest.fixture(scope="module", params=["descriptors", "self_similarity"])
def critic(request):
    return tiny.classifier(request.param)


@pytest.mark.parametrize("quarters", [8, 32, 33, 47.5, 48, 64, 200])
def test_segments_cover_the_piece(quarters):
    notes = crop(tiny.tune(1, 1000), 0, int(quarters * 12))
    parts = split_into_segments(notes, int(quarters * 12))
    firsts = [at for at, _ in parts]
    assert firsts[0] == 0 and (quarters <= SEGMENT_QUARTERS or quarters - 1 < firsts[-1] + SEGMENT_QUARTERS <= quarters)
    assert all(0 < b - a <= SEGMENT_QUARTERS / 2 for a, b in pairwise(firsts))
    for at, part in parts:
        assert part == crop(notes, at * 12, (at + SEGMENT_QUARTERS) * 12)


def test_windows_in_silence_belong_to_the_nearest_segment():
    a = crop(tiny.tune(1, 300), 0, 32 * 12)
    far = rebuild_notes(
        a,
        np.r_[a.start, a.start + 200 * 12],
        np.r_[a.end, a.end + 200 * 12],
        np.r_[a.pitch, a.pitch],
        np.r_[a.part, a.part],
    )[0]
    found, cover = segment_descriptors(far, 232 * 12, 8.0)
    assert len(found) == 6 and cover.shape == (29, 6)
    assert (
        cover.sum(1) == pytest.approx(np.ones(29))
        and cover[8].tolist() == [0, 0, 1, 0, 0, 0]
        and cover[20, 2:].max() == 1
    )
    only, one = segment_descriptors(a, 32 * 12, 8.0)
    assert only[0] == pytest.approx(extract_descriptors(a)) and one.tolist() == [[1.0]] * 4


def test_a_score_depends_on_the_piece_alone(critic):
    pieces = [tiny.tune(i, n_notes=30 + 60 * i) for i in range(6)]
    scores = critic.score(pieces)
    assert scores.dtype == np.float32 and np.isfinite(scores).all() and len(set(scores.tolist())) == 6
    assert critic.score(pieces[::-1])[::-1] == pytest.approx(scores, abs=1e-5)
    assert [critic.score([p])[0] for p in pieces] == pytest.approx(scores.tolist(), abs=1e-5)


def test_to_disk_and_back(critic, tmp_path):
    critic.save(tmp_path)
    again, pieces = Critic.load(tmp_path), [tiny.tune(i) for i in range(3)]
    assert again.model.type == critic.model.type and again.score(pieces) == pytest.approx(
        critic.score(pieces), abs=0.02
    )
