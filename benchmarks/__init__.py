"""Benchmarks: each a program of its own; what they share begins with an underscore."""
