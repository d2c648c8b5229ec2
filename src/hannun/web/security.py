"""The security headers of every response."""

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

ONLY_OVER_TLS = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
"""The header of every response behind TLS: for a year, browsers reach this host and those below it over TLS only."""
