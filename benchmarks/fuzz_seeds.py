"""What `benchmarks/fuzz.py` mutates: small files of each format, model folders and requests."""

import struct
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

REQUEST = {
    "model": "notewise",
    "candidates": 1,
    "quarters": 8,
    "seed": 3,
    "randomness": 50,
    "qpm": 100,
    "key": "A minor",
    "composer": "bach",
    "cadence": True,
    "search": False,
    "advanced": {"temperature": 1.0, "top_p": 0.9, "min_p": 0.0},
}
KEY_PRESSES = {"qpm": 100, "key_presses": [[60, 0.0, 0.5], [64, 0.5, 1.0], [67, 1.0, 2.0]]}

MUSICXML = """<?xml version="1.0" encoding="UTF-8"?>
<score-partwise version="3.1">
<part-list><score-part id="P1"><part-name>Piano</part-name></score-part>
<score-part id="P2"><part-name>Violin</part-name></score-part></part-list>
<part id="P1">
<measure number="1"><attributes><divisions>4</divisions><key><fifths>-1</fifths></key>
<time><beats>3</beats><beat-type>4</beat-type></time><staves>2</staves><transpose><chromatic>0</chromatic></transpose>
</attributes><direction><sound tempo="96"/></direction>
<note><pitch><step>C</step><octave>4</octave></pitch><duration>4</duration><tie type="start"/><voice>1</voice></note>
<note><chord/><pitch><step>E</step><alter>-1</alter><octave>4</octave></pitch><duration>4</duration></note>
<note><rest/><duration>4</duration></note>
<note><pitch><step>C</step><octave>4</octave></pitch><duration>4</duration><tie type="stop"/></note>
<backup><duration>12</duration></backup>
<note><pitch><step>G</step><octave>3</octave></pitch><duration>12</duration><voice>2</voice><staff>2</staff></note>
</measure>
<measure number="2"><note><grace/><pitch><step>D</step><octave>5</octave></pitch></note>
<note><pitch><step>A</step><octave>4</octave></pitch><duration>8</duration>
<time-modification><actual-notes>3</actual-notes><normal-notes>2</normal-notes></time-modification></note>
<forward><duration>4</duration></forward></measure>
</part>
<part id="P2">
<measure number="1"><attributes><divisions>1</divisions></attributes>
<note><unpitched/><duration>1</duration></note>
<note><pitch><step>B</step><octave>5</octave></pitch><duration>2</duration></note></measure>
<measure number="2"><note><pitch><step>F</step><octave>5</octave></pitch><duration>3</duration></note></measure>
</part>
</score-partwise>
"""
KERN = """!!!COM: Nobody
**kern\t**kern
*clefF4\t*clefG2
*k[b-]\t*k[b-]
*M3/4\t*M3/4
*MM96\t*MM96
=1-\t=1-
4C\t4c 4e-
*\t*^
4r\t8ee\t4g
.\t8ff\t.
4.D\t12gg\t4b
.\t12aa\t.
.\t12bb\t.
*\t*v\t*v
=2\t=2
.\tqdd
[2.E\t2.g
=3\t=3
2.E]\t2.a;
==\t==
*-\t*-
"""
KERN_SUBSPINES = """**kern
*M2/4
=1
2c
=2
*^
*\t*^
4.G\t4d\t8b
.\t.\t[4.f
.\t[4e\t.
8A\t.\t.
*v\t*v\t*v
=3
2e] 2f]
*-
"""
ABC = """X:1
T:Nothing
M:6/8
L:1/8
Q:3/8=60
K:Dm
|: A>B c d2 e | (3fga [Ac]2 z2 "Gm" {b}g- | g3 ^F=F_E :|
[1 D3- D3 :|2 (5ABcde f2 |]
"""
ABC_VOICES = """X:1
T:Voices
M:4/4
L:1/4
K:C clef=treble
V:1
C D [V:2] E, F, | [V:1] c/2d/2 e2 & G4 | x4 | Z2 |
V:2 transpose=-12
[K:G] F G A2 | [L:1/8] ((3cde (3fga) [M:3/4] B6 | %%comment
w: la la
"""
ABC_MACROS = """m:~n2 = (3o/n/m/ n
X:1
M:2/4
L:1/4
m:~G = {A}G{F}G
K:D exp ^/f
~G ~B2 | ^3/2c _/B && d2 | !DEF! (& e2 | f2 & c2 | d2 &) g2 |
"""
TEXTS = {"musicxml": [MUSICXML], "kern": [KERN, KERN_SUBSPINES], "abc": [ABC, ABC_VOICES, ABC_MACROS]}


@cache
def midi_seeds() -> list[bytes]:
    """Return a few small MIDI files, one of them also in RIFF and behind a MacBinary header."""
    from clara.music.midi import to_symusic_score
    from clara.music.notes import build_notes

    rng = np.random.default_rng(0)
    files = []
    for n_notes, parts in ((3, 1), (40, 1), (60, 2)):
        start = np.sort(rng.integers(0, 4 * n_notes, n_notes))
        notes, _ = build_notes(
            start, start + rng.integers(1, 24, n_notes), rng.integers(30, 90, n_notes), rng.integers(0, parts, n_notes)
        )
        files.append(to_symusic_score(notes).dumps_midi())
    size = len(files[1])
    in_riff = b"RIFF" + struct.pack("<I", size + 12) + b"RMIDdata" + struct.pack("<I", size) + files[1]
    behind_mac_binary = bytes(83) + struct.pack(">I", size) + bytes(41) + files[1]
    return [*files, in_riff, behind_mac_binary]


@cache
def model_folders() -> dict[str, dict[str, bytes]]:
    """Return the files of small model folders by the name of the folder: two untrained models, and shipped critics."""
    from clara.checkpoints.shipped_models import shipped_models_folder

    folders = {}
    with tempfile.TemporaryDirectory() as scratch:
        for arch in ("awd_lstm", "wavenet"):
            _untrained(arch).save(Path(scratch, arch))
            folders[f"model {arch}"] = _read_folder(Path(scratch, arch))
    for name in ("critic-chordwise", "critic-notewise/1-descriptors", "critic-notewise/2-boosted-trees"):
        folders[name] = _read_folder(shipped_models_folder() / name)
    return folders


def _untrained(arch):
    """Return a small model with random weights."""
    import torch

    from clara.checkpoints.checkpoint import Checkpoint
    from clara.encodings.notewise import Notewise
    from clara.encodings.vocab import Vocab
    from clara.models import get_architecture

    encoding = Notewise()
    vocab = Vocab.from_encoding(encoding)
    sizes = {"emb_sz": 8, "n_hid": 8, "n_layers": 2}
    shapes = get_architecture(arch).shapes(sizes, len(vocab))
    generator = torch.Generator().manual_seed(0)
    tensors = {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}
    return Checkpoint(arch, sizes, encoding, vocab, tensors, {"training": {"seed": 0}, "versions": {}, "figures": {}})


def _read_folder(folder):
    """Return the files that loading reads, by their names relative to the folder."""
    names = ("config.json", "model.safetensors", "vocab.txt")
    paths = sorted(path for path in folder.rglob("*") if path.name in names)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def write_folder(folder: str | Path, files: dict[str, bytes]) -> None:
    """Write files below a folder."""
    for name, data in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
