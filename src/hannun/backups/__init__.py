"""The folder of backups: its layout, the manifests in it, hashes, encryption. It knows nothing of PostgreSQL."""
