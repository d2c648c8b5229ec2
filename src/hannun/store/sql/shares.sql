-- insert --
-- Adds a link, with the owner that its event has now. No row where the event does not exist or has too many active links.
INSERT INTO hannun.shares
       (share_id, event_id, user_id, secret_hash, label, created_at, created_by, expires_at)
SELECT %(share_id)s, e.event_id, e.user_id, %(secret_hash)s, %(label)s, %(now)s, %(created_by)s, %(expires_at)s
  FROM hannun.events e
 WHERE e.event_id = %(event_id)s AND e.user_id IS NOT NULL
   AND (SELECT count(*) FROM hannun.shares s
         WHERE s.event_id = e.event_id AND s.revoked_at IS NULL AND s.expires_at > %(now)s) < %(active_max)s
RETURNING user_id;

-- delete_oldest_inactive --
-- Keeps a limited number of an event's inactive links, so that creating and revoking links cannot fill the table.
DELETE FROM hannun.shares
 WHERE event_id = %(event_id)s AND share_id IN (
       SELECT share_id FROM hannun.shares
        WHERE event_id = %(event_id)s AND (revoked_at IS NOT NULL OR expires_at <= %(now)s)
        ORDER BY created_at DESC, share_id OFFSET %(inactive_kept_max)s);

-- event_exists --
-- Whether an event was created.
SELECT true FROM hannun.events WHERE event_id = %(event_id)s AND user_id IS NOT NULL;

-- list_of_event --
-- An event's links: the active ones first, then the others, each newest first, up to the limit. One row of nulls where the
-- event has none, and no row where it does not exist.
SELECT s.share_id, s.label, s.created_at, s.created_by, s.expires_at, s.revoked_at
  FROM hannun.events e LEFT JOIN hannun.shares s ON s.event_id = e.event_id
 WHERE e.event_id = %(event_id)s AND e.user_id IS NOT NULL
 ORDER BY (s.revoked_at IS NULL AND s.expires_at > %(now)s) DESC, s.created_at DESC, s.share_id LIMIT %(limit)s;

-- revoke --
-- Ends a link now. A link that was revoked before keeps its first instant of revocation.
UPDATE hannun.shares SET revoked_at = coalesce(revoked_at, %(now)s)
 WHERE share_id = %(share_id)s AND event_id = %(event_id)s;

-- find_grant --
-- The active link with this secret, as long as the event still has the owner that it had when the link was created.
SELECT s.share_id, s.user_id, s.expires_at
  FROM hannun.shares s JOIN hannun.events e ON e.event_id = s.event_id AND e.user_id = s.user_id
 WHERE s.secret_hash = %(secret_hash)s AND s.event_id = %(event_id)s AND s.revoked_at IS NULL AND s.expires_at > %(now)s;
