"""The logo of the service in HTML that needs no script, drawn as `static/components/logo.js` draws it."""

_SVG = '<svg class="logo" viewBox="0 0 32 32" width="32" height="32" aria-hidden="true">{}</svg>'
_OPEN = (
    '<path d="M3 16c3.6-5.7 8-8.5 13-8.5S25.4 10.3 29 16c-3.6 5.7-8 8.5-13 8.5S6.6 21.7 3 16z" fill="none" '
    'stroke="currentColor" stroke-width="2.5" stroke-linejoin="round" /><circle cx="16" cy="16" r="4.5" '
    'fill="currentColor" />'
)
_CLOSED = (
    '<path d="M3 14c3.6 5 8 7.5 13 7.5S25.4 19 29 14M8 19.5l-2.5 3.5M24 19.5l2.5 3.5M16 21.5v4" fill="none" '
    'stroke="currentColor" stroke-width="2.5" stroke-linecap="round" />'
)

LOGO = _SVG.format(_OPEN)
"""An eye."""
CLOSED_LOGO = _SVG.format(_CLOSED)
"""A closed eye, for pages without data."""
