"""Notes as written music: bars, hands, voices, note values, spelling, and MusicXML."""
