"""What is measured, against what, in one command: see `bench/README.md`."""
