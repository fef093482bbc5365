"""The page in the browser: `server` (requests), `jobs` (who is composed for, and when), `composing` (from a wish to ranked pieces),
`prompts` (music from strangers), `shelf` (what is kept, and for how long), `rendering` (a piece as MIDI, sound, score, picture).
"""
