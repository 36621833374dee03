"""Vectors to places on a map and to groups: openTSNE and scikit-learn, in a process of their own."""
