"""Hosted models: one file for each provider's wire shapes, and one for everything that they have in common.

reference -> adapter (what to send, how to read it) -> remote (when to send it, how often, and what may be believed)
"""
