"""Show excerpts of music, and what a model predicts for them, in a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from fastcore.foundation import L

from clara.data.encoded_piece import EncodedPiece
from clara.encodings.base import Encoding
from clara.encodings.vocab import Vocab
from clara.errors import BadSetting
from clara.music.notes import NoteSequence, crop

SHOWN_TOKENS = 60  # of a piece's text


def decode_ids(ids: Sequence[int] | np.ndarray, vocab: Vocab, encoding: Encoding) -> NoteSequence:
    """Return the notes of token ids; control tokens are skipped."""
    control_ids = (vocab.bos_id, vocab.eos_id, vocab.pad_id)
    return encoding.decode(vocab.to_tokens([i for i in ids if i not in control_ids]))[0]


def music_html(title: str, notes: NoteSequence, quarters: float, sheet_music: bool = False) -> str:
    """Return the beginning of a piece as HTML: a title, and a piano roll or sheet music.

    Parameters
    ----------
    title : str
    notes : NoteSequence
    quarters : float
        Length of the excerpt, in quarter notes.
    sheet_music : bool
        Engrave the excerpt; an excerpt without notes is drawn as an empty roll.
    """
    from clara.rendering.html import piano_roll_svg, score_svg

    excerpt = crop(notes, 0, round(quarters * notes.steps_per_quarter))
    music = score_svg(excerpt) if sheet_music and len(excerpt) else piano_roll_svg(excerpt, title=escape(title))
    return f"<h4>{escape(title)}</h4>{music}"


def prediction_html(title: str, targets: Sequence[int], predictions: Sequence[int], vocab: Vocab) -> str:
    """Return the beginning of a text beside the most likely tokens, as HTML; wrong predictions are in bold.

    Parameters
    ----------
    title : str
    targets, predictions : sequence of int
        Token ids at the same places of the text.
    vocab : Vocab
    """
    written = vocab.to_tokens(targets[:SHOWN_TOKENS])
    predicted = vocab.to_tokens(predictions[:SHOWN_TOKENS])
    marked = [f"<b>{escape(p)}</b>" if p != w else escape(p) for w, p in zip(written, predicted)]
    return (
        f"<h4>{escape(title)}</h4><table><tr><th>written</th><td>{escape(' '.join(written))}</td></tr>"
        f"<tr><th>predicted</th><td>{' '.join(marked)}</td></tr></table>"
    )


def show_html(fragments: list[str]) -> None:
    """Display HTML fragments below each other in the running notebook.

    Raises
    ------
    BadSetting
        If IPython, which every notebook has, is not installed.
    """
    try:
        from IPython.display import HTML, display
    except ImportError as e:
        raise BadSetting("music is shown in a notebook: pip install notebook") from e
    display(HTML("\n".join(fragments)))


@dataclass(frozen=True)
class PieceExcerpts:
    """Pieces that fastai is about to show, each with its targets or predictions, and what is needed to show them."""

    pieces: list[EncodedPiece]
    outputs: list
    vocab: Vocab
    encoding: Encoding


class ShowsPieces:
    """What fastai's Learner and Interpretation ask of a loader that shows whole pieces.

    A subclass has `items` (list of EncodedPiece), `vocab` and `encoding`.
    """

    items: list[EncodedPiece]
    vocab: Any
    encoding: Any

    def show_results(self, b: tuple, outs: Sequence, max_n: int = 9) -> None:
        """Show texts beside the most likely tokens.

        Parameters
        ----------
        b : tuple of 2 n tensors
            The inputs of n pieces, then their targets.
        outs : sequence of n tensors
            The most likely tokens.
        max_n : int
            Pieces to show.
        """
        excerpts = self._find_excerpts((*b[: len(b) // 2], *outs))
        targets = b[len(b) // 2 :]
        rows = list(zip(excerpts.pieces, targets, excerpts.outputs))[:max_n]
        show_html([prediction_html(p.name, t.tolist(), o.tolist(), self.vocab) for p, t, o in rows])

    def _pre_show_batch(self, b, max_n=9):
        """Return what fastai's `plot_top_losses` is dispatched on: excerpts, targets, and one tuple for each piece."""
        excerpts = self._find_excerpts(b)
        return excerpts, excerpts.outputs, L((piece,) for piece in excerpts.pieces)

    def _find_excerpts(self, b):
        """Return the pieces of this loader whose inputs are the first half of b."""
        n = len(b) // 2
        pieces = {piece.ids[:-1].astype(np.int64).tobytes(): piece for piece in self.items}
        found = []
        for i, ids in enumerate(b[:n]):
            ids = ids.cpu().numpy().astype(np.int64)
            unnamed = EncodedPiece(f"piece {i + 1}", np.append(ids, self.vocab.eos_id))
            found.append(pieces.get(ids.tobytes(), unnamed))
        return PieceExcerpts(found, list(b[n:]), self.vocab, self.encoding)
