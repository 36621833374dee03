"""Where model files come from: on this machine, or from a hub. `local` finds and verifies, `hub` fetches."""
