-- Positions: which partitions wait for an operator's decision and why, and a record of every decision.

-- Stopped partitions: no consumer reads them until an operator decides. The process that found the reason writes the row; the
-- consumer that reads the partition again deletes it.
CREATE TABLE hannun.stopped_partitions (
    topic      text      NOT NULL,
    partition  integer   NOT NULL,
    why        text      NOT NULL,
    hint       text      NOT NULL,
    found_by   text      NOT NULL,
    stopped_at timestamp NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
);

-- The decisions of operators: at which offset reading resumed, and so which offsets were skipped or read again.
CREATE TABLE hannun.position_decisions (
    decision_no bigint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    decided_at  timestamp NOT NULL DEFAULT now(),
    decided_by  text      NOT NULL,
    topic       text      NOT NULL,
    partition   integer   NOT NULL,
    topic_id    text      NOT NULL,
    was_at      bigint,
    goes_on_at  bigint    NOT NULL,
    how         text      NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON hannun.stopped_partitions, hannun.position_decisions TO analytics_readwrite;

-- locks: nothing
