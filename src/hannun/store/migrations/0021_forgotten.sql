-- Ids that were forgotten, by keyed digests, so that no message brings them back.
CREATE TABLE hannun.forgotten (
    kind         text        NOT NULL CHECK (kind IN ('participant', 'merchant')),
    event_id     varchar(36) NOT NULL DEFAULT '',
    digest       bytea       NOT NULL CHECK (octet_length(digest) = 32),
    key_id       text        NOT NULL,
    forgotten_at timestamp   NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, event_id, digest)
);

ALTER TABLE hannun.events ADD COLUMN forgotten integer NOT NULL DEFAULT 0;
CREATE INDEX events_forgotten ON hannun.events (event_no) WHERE forgotten > 0;

CREATE FUNCTION hannun.forgotten_merchants() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('hannun.forgotten_merchants'));
    RETURN (SELECT count(*) FROM hannun.forgotten WHERE kind = 'merchant');
END $$;

-- locks: hannun.events ACCESS EXCLUSIVE, scanned
