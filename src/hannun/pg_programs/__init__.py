"""PostgreSQL's own programs (pg_dump, pg_basebackup and so on): found, compared with the server, and run."""
