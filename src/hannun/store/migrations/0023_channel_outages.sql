-- When the API of each channel was not called, because its breaker was not closed. The newest 1,000 of each channel are kept.
CREATE TABLE hannun.channel_outages (
    channel  text      NOT NULL,
    began_at timestamp NOT NULL,
    ended_at timestamp CHECK (ended_at >= began_at),
    reason   text      NOT NULL,
    PRIMARY KEY (channel, began_at)
);
CREATE UNIQUE INDEX channel_outages_open ON hannun.channel_outages (channel) WHERE ended_at IS NULL;
INSERT INTO hannun.channel_outages (channel, began_at, reason)
SELECT channel, since, coalesce(details->>'reason', '') FROM hannun.channel_breakers WHERE state <> 'closed';

-- locks: hannun.channel_breakers ACCESS SHARE, scanned
