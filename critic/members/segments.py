"""What the members have in common that classify overlapping segments of a piece."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from clara.music.notes import NoteSequence
from critic.features.segments import SEGMENT_QUARTERS
from critic.members.base import Member
from critic.members.memory import content_key
from critic.nets.inputs import Text

SegmentQuarters = Annotated[int, Field(ge=8, le=1024)]


@dataclass(eq=False)
class Segment:
    """What a member knows of a segment.

    Attributes
    ----------
    features : array or None
        What the network reads; None once the logits are known.
    logits : float32 tensor (n_classes,) or None
    """

    features: np.ndarray | None
    logits: Tensor | None = None


@dataclass(frozen=True, eq=False)
class SegmentedPiece:
    """The n_segments segments of a piece, and their weights in each window, float32 (n_windows, n_segments)."""

    segments: list[Segment]
    weights: np.ndarray


class SegmentMember(Member):
    """A member that classifies segments; the logits of a window are the weighted mean over its segments.

    Its memory holds the segments of the pieces that it has read.
    """

    net: Any

    @property
    def segment_quarters(self) -> int:
        """Return the length of a segment."""
        return self.net_settings.get("segment_quarters", SEGMENT_QUARTERS)

    @staticmethod
    @abstractmethod
    def extract_features(notes: NoteSequence) -> np.ndarray:
        """Return what the network reads of a segment that is not empty."""

    @abstractmethod
    def segment_logits(self, features: list[np.ndarray]) -> Tensor:
        """Return the logits of n segments, float32 (n, n_classes)."""

    def prepare(self, text: Text) -> SegmentedPiece:
        """Return the segments of a piece."""
        segments, weights = text.segments(self.settings.window_quarters, self.segment_quarters)
        return SegmentedPiece([self._recall(text, notes) for notes in segments], weights)

    def _recall(self, text, notes):
        """Return a segment from the memory, or a new one."""
        if self.memory is None:
            return Segment(text.features(self.extract_features, notes))
        key = content_key(notes.start, notes.duration, notes.pitch, notes.part)
        segment = self.memory.get(key)
        if segment is None:
            segment = Segment(text.features(self.extract_features, notes))
            self.memory.put(key, segment)
        return segment

    def size(self, piece: SegmentedPiece) -> int:
        """Return the number of segments that are to be classified."""
        return sum(segment.features is not None for segment in piece.segments)

    def n_windows(self, piece: SegmentedPiece) -> int:
        """Return the number of windows of a prepared piece."""
        return len(piece.weights)

    def logits(self, pieces: list[SegmentedPiece]) -> Tensor:
        """Return the logits of each window of prepared pieces, (n_windows, n_classes)."""
        # Pieces share segments, which another thread may classify meanwhile; it sets the logits first.
        features = {s: s.features for piece in pieces for s in piece.segments if s.features is not None}
        if features:
            for segment, logits in zip(features, self.segment_logits(list(features.values()))):
                segment.logits = logits
                segment.features = None
        of_pieces = [torch.stack([s.logits for s in piece.segments if s.logits is not None]) for piece in pieces]
        return torch.cat([torch.from_numpy(piece.weights) @ logits for piece, logits in zip(pieces, of_pieces)])
