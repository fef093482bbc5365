"""The composer that the command line and the page share."""

from dataclasses import replace
from threading import Event

import pytest
import tiny
from examples import OTHER_THEME, THEME, bars_to_notes

from clara.checkpoints.shipped_models import MissingModel
from clara.encodings.chordwise import Chordwise
from clara.encodings.notewise import Notewise
from clara.errors import BadPlan, BadSetting
from clara.form.plan import EXACT, NEW
from clara.form.plan_files import write_plan
from clara.music.midi import write_midi
from clara.music.notes import build_notes, crop
from clara.rendering.engraving import to_musicxml
from clara.sampling.settings import piece_seeds
from clara_app.compose_request import ComposeRequest, MusicalConstraints
from clara_app.composer import Composer

pytestmark = pytest.mark.slow

REQUEST = ComposeRequest(n=5, top=2, quarters=4, seed=3, rank_by="note_density", search=False)


@pytest.fixture(scope="module")
def composer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny.checkpoint().save(folder)
    return Composer(str(folder), precision="float32")


def tokens(samples):
    return [sample.tokens for sample in samples]


def test_the_best_come_first(composer):
    result = composer.compose(composer.prepare(REQUEST))
    every = composer.compose(composer.prepare(replace(REQUEST, top=5)))
    totals = [piece.scores["total"] for piece in every.pieces]
    assert totals == sorted(totals, reverse=True) and len(totals) == 5
    assert tokens(p.sample for p in result.pieces) == tokens(p.sample for p in every.pieces[:2])
    assert (result.n_composed, result.interrupted) == (5, False)
    assert result.n_tokens == sum(len(p.sample.tokens) for p in every.pieces)


def test_batches_do_not_change_the_pieces(composer):
    prepared = composer.prepare(replace(REQUEST, max_temperature=1.2))
    together, apart = ([s for batch in composer.sample(prepared, sizes) for s in batch] for sizes in ([5], [1, 3, 1]))
    assert tokens(together) == tokens(apart) and [s.seed for s in together] == piece_seeds(3, 5)


def test_progress_grows_from_stage_to_stage(composer):
    calls = []
    composer.compose(composer.prepare(REQUEST), lambda stage, share: calls.append((stage, share)))
    assert [stage for stage, _ in calls] == sorted(stage for stage, _ in calls)
    composing = [share for stage, share in calls if stage == "composing"]
    assert composing == sorted(composing) and composing[0] >= 0 and composing[-1] <= 1
    assert calls[-1] == ("ranking", 1.0)


def test_a_stop_keeps_what_is_finished(composer):
    stop = Event()
    prepared = composer.prepare(REQUEST)
    batches = composer.sample(prepared, [2, 3], None, stop)
    assert len(next(batches)) == 2
    stop.set()
    assert list(batches) == []
    assert composer.compose(prepared, stop=stop).interrupted


def test_a_prompt_from_a_file_and_as_notes_on_another_grid(composer, tmp_path):
    notes = crop(tiny.tune(2, steps_per_quarter=24), 0, 24 * 6)
    write_midi(notes, tmp_path / "prompt.mid")
    requests = [replace(REQUEST, prompt=prompt, prompt_quarters=4) for prompt in (str(tmp_path / "prompt.mid"), notes)]
    from_file, from_notes = (composer.prepare(request).prompt for request in requests)
    assert from_file.steps_per_quarter == from_notes.steps_per_quarter == 12
    assert from_file.pitch.tolist() == from_notes.pitch.tolist() and from_notes.quarters <= 4


def test_without_a_ranking_pieces_stay_in_order(composer):
    prepared = composer.prepare(replace(REQUEST, rank_by="none"))
    assert [p.sample.seed for p in composer.compose(prepared).pieces] == piece_seeds(3, 2)
    assert composer.score([tiny.tune(0)], prepared) == [{}]


def test_bad_requests_are_refused_before_composing(composer):
    with pytest.raises(BadSetting, match="nonsense"):
        composer.prepare(replace(REQUEST, rank_by="nonsense"))
    with pytest.raises(BadSetting, match="--range"):
        composer.prepare(replace(REQUEST, constraints=MusicalConstraints(ranges=("C2",))))


def test_a_missing_model_is_named():
    with pytest.raises(MissingModel, match="no such model"):
        Composer("no such model")


@pytest.mark.parametrize("time_signature, quarters", [((3, 4), 24), ((2, 4), 16), ((6, 8), 24), ((3, 8), 12)])
def test_time_signature_and_bars_of_a_prompt_survive(composer, time_signature, quarters, tmp_path):
    notes = build_notes([0, 12, 24], [12, 24, 36], [60, 62, 64], time_signatures=((0, *time_signature),))[0]
    write_midi(notes, tmp_path / "a.mid")
    for prompt in (notes, str(tmp_path / "a.mid")):
        request = replace(REQUEST, rank_by="none", prompt=prompt, bars=8, n=1, top=1)
        prepared = composer.prepare(request)
        assert prepared.quarters == quarters and prepared.request.bars == 8
        [piece] = composer.compose(prepared).pieces
        assert piece.sample.notes.time_signatures == ((0, *time_signature),)
        assert f"<beats>{time_signature[0]}</beats>" in to_musicxml(piece.sample.notes)


@pytest.mark.parametrize("signature, quarters", [("3/4", 12), ("6/8", 12), ("2/2", 16), ("5/8", 10)])
@pytest.mark.parametrize("search", [False, True])
def test_a_time_signature_and_bars_without_a_prompt(composer, signature, quarters, search):
    request = replace(REQUEST, time_signature=signature, bars=4, n=4, top=1, search=search)
    prepared = composer.prepare(request)
    assert prepared.quarters == quarters
    shares = []
    [piece] = composer.compose(prepared, lambda _, share: shares.append(share)).pieces
    numerator, denominator = map(int, signature.split("/"))
    assert piece.sample.notes.time_signatures == ((0, numerator, denominator),)
    assert sum(Notewise().token_steps(piece.sample.tokens)) == quarters * 12
    assert min(shares) >= 0
    assert max(shares) <= 1


def test_a_time_signature_changes_no_token(composer):
    pieces = [
        composer.compose(composer.prepare(replace(REQUEST, time_signature=signature))).pieces
        for signature in (None, "3/4")
    ]
    assert tokens(p.sample for p in pieces[0]) == tokens(p.sample for p in pieces[1])


@pytest.mark.parametrize("signature", ["4/4", "3/8"])
def test_a_time_signature_other_than_the_prompts_is_refused(composer, signature):
    waltz = build_notes([0, 12, 24], [12, 24, 36], [60, 62, 64], time_signatures=((0, 3, 4),))[0]
    with pytest.raises(BadSetting, match=f"is in 3/4, not in {signature}; leave out the time signature"):
        composer.prepare(replace(REQUEST, prompt=waltz, time_signature=signature))
    assert composer.prepare(replace(REQUEST, prompt=waltz, time_signature="3/4", bars=2)).quarters == 6


def test_a_prompt_that_names_no_time_signature_takes_the_given_one(composer, tmp_path):
    text = Notewise().encode_text(tiny.tune(3, n_notes=60))[0]
    (tmp_path / "tune.txt").write_text(text)
    for signature in ("3/4", "4/4", "5/4"):
        request = replace(REQUEST, prompt=str(tmp_path / "tune.txt"), time_signature=signature)
        [(_, *found)] = composer.prepare(request).prompt.time_signatures
        assert "{}/{}".format(*found) == signature


@pytest.mark.parametrize("signature", ["5/64", "1/32"])
def test_a_time_signature_that_the_grid_cannot_hold_is_refused(composer, signature):
    with pytest.raises(BadSetting, match=f"a bar of {signature} is no whole number of steps .* 12 steps per quarter"):
        composer.prepare(replace(REQUEST, time_signature=signature))


def test_a_critic_of_another_encoding_is_refused_before_composing(composer, tmp_path):
    for name, encoding in (("coarse", Notewise(4)), ("chordwise", Chordwise())):
        tiny.classifier("descriptors", encoding=encoding).save(tmp_path / name)
        judged = Composer(str(composer.folder), precision="float32", critic=str(tmp_path / name))
        with pytest.raises(BadSetting, match=f"{name}: this critic reads {encoding.name} text with 4 steps"):
            judged.prepare(REQUEST)


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planned")
    tiny.plan_follower().save(folder)
    composer = Composer(str(folder), precision="float32")
    composer.generator.planner = tiny.planner()
    return composer


def test_a_form_sets_the_length(planned):
    for changes, quarters in (({}, 20), ({"bars": 6}, 24), ({"time_signature": "3/8"}, 7.5)):
        request = ComposeRequest(n=2, top=2, form="A2 B1 A", rank_by="none", seed=1, **changes)
        prepared = planned.prepare(request)
        assert prepared.quarters == quarters
    for piece in planned.compose(prepared).pieces:
        assert len(piece.sample.plan) == 5 and piece.sample.notes.time_signatures[0] == (0, 3, 8)


def test_the_form_of_another_piece(planned, tmp_path):
    write_midi(bars_to_notes(THEME, OTHER_THEME, THEME, time_signatures=((0, 4, 4),)), tmp_path / "model.mid")
    request = ComposeRequest(n=2, top=2, form_of=str(tmp_path / "model.mid"), ending=False, rank_by="none")
    for piece in planned.compose(planned.prepare(request)).pieces:
        assert piece.sample.plan.relation.tolist() == [NEW, NEW, EXACT]


def test_a_plan_goes_on_after_a_prompt(planned, tmp_path):
    (plan,) = tiny.planner().compose([0], 4, time_signature=(4, 4))
    write_plan(plan, tmp_path / "plan.csv")
    request = ComposeRequest(n=1, prompt=tiny.tune(0), prompt_quarters=6, plan=str(tmp_path / "plan.csv"))
    assert planned.prepare(request).quarters == plan.n_steps / 12 - 6


def test_what_a_plan_cannot_be_is_refused_before_composing(planned, composer, tmp_path):
    (tmp_path / "plan.csv").write_text("Clara plan 7\n")
    write_plan(tiny.planner().compose([0], 1)[0], tmp_path / "short.csv")
    request = ComposeRequest(n=1, form="AABA", bars=16)
    with pytest.raises(
        BadSetting, match="the form has 32 bars, but the piece only 16; use --bars 32 or a shorter form"
    ):
        planned.prepare(request)
    with pytest.raises(BadPlan, match="plan.csv"):
        planned.prepare(ComposeRequest(n=1, plan=str(tmp_path / "plan.csv")))
    with pytest.raises(BadSetting, match="the plan is over before the prompt is"):
        planned.prepare(ComposeRequest(n=1, prompt=tiny.tune(0), plan=str(tmp_path / "short.csv")))
    for flag, values in (("--form", {"form": "AABA"}), ("--no-ending", {"ending": False})):
        with pytest.raises(BadSetting, match=f"{flag}: the model .* follows no plans"):
            composer.prepare(ComposeRequest(**values))


def test_a_search_follows_a_form(planned):
    request = ComposeRequest(n=3, top=2, form="A1 B1 A", ending=False, rank_by="note_density", seed=2)
    for piece in planned.compose(planned.prepare(request)).pieces:
        assert piece.sample.plan.source.tolist()[2] == 0
