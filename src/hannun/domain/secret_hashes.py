"""The form in which secrets are stored and compared: session tokens, sign-in codes, the secrets of share links."""

import hashlib


def hash_secret(secret: str) -> bytes:
    """Identifies a secret without being it.

    Plain SHA-256, without salt or key: each secret has at least 128 random bits or a signature, so nobody can guess it.
    """
    return hashlib.sha256(secret.encode()).digest()
