"""Stores: where items and vectors are kept and searched."""
