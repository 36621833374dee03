"""Adapters that turn prepared pictures and texts into vectors; see `ports.Encoder`.

`local` is the way in: it reads `architecture` (out of `settings` and `sentences`) and `checkpoint`, has `towers` write
(`graph`, `graph_clip`, `graph_bert`, `graph_blocks`, `graph_ops`, `quantise`) and keep (`compiled`) what `runtime` then
runs.
"""
