"""Backups: made, verified, pruned. A restore is a flow of its own."""
