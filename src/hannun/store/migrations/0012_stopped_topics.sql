-- Topics that no consumer reads as a whole: Kafka does not have them, or refuses them, or has fewer partitions than were
-- counted. The process that finds the reason writes the row, and deletes it when the topic is back. An operator may forget the
-- topic: then nobody waits for it while this is the reason.
CREATE TABLE hannun.stopped_topics (
    topic        text      PRIMARY KEY,
    why          text      NOT NULL,
    hint         text      NOT NULL,
    found_by     text      NOT NULL,
    stopped_at   timestamp NOT NULL DEFAULT now(),
    forgotten_by text,
    forgotten_at timestamp
);

GRANT SELECT, INSERT, UPDATE, DELETE ON hannun.stopped_topics TO analytics_readwrite;

-- locks: nothing
