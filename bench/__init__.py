"""Benchmarks of Hannun, run with one command: see `bench/README.md`."""
