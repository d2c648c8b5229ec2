"""The programs of `bench.peers`. Each runs in an environment without Hannun, so they import nothing of it."""
