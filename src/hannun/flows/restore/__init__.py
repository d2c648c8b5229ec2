"""Restores: a backup becomes a database again, and the database goes on as if it had never been away."""
