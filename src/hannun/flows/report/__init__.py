"""Reports: answers a question with a view, from the cache or from one snapshot of PostgreSQL.

    question ─► registry ─► view ─► local cache entry ─────────────────────────────────────► answer (cache)
                                 └► Redis: hit ────────────────────────────────────────────► answer (cache)
                                       └► miss ─► lease ─► load, build ─► fill if it stands ─► answer (live)
                                               └► taken: wait for its holder's answer ─────► answer (cache),
                                                  else load and build without filling ─────► answer (live)

    load:  a loader reads figures from PostgreSQL in one transaction (`*_loaders`)
    build: a view function makes the answer of the figures (`hannun.domain.views`)

`registry` declares each view. `answers` holds the entry point `Reports`. `cached_reader` is the path through the cache.
"""
