"""Recordings of real agent CLIs with ground truth: what detectors and transcripts of a kind are scored against.

One recording is a pair of files in `<corpus>/<cli>-<version>/`: `<scenario>.cast.gz`, what the terminal carried
(asciicast v2), and `<scenario>.truth.json`, what was true meanwhile. The truth comes from what the fake model backend
saw and from what the scenario did, never from rules of a kind.
"""
