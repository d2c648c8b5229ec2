-- add --
-- A new link, and whose event it opens. No row where there is no such event, or too many links open it already.
INSERT INTO hannun.shares
       (share_id, event_id, user_id, secret_hash, label, created_at, created_by, expires_at)
SELECT %(share_id)s, e.event_id, e.user_id, %(secret_hash)s, %(label)s, %(now)s, %(created_by)s, %(expires_at)s
  FROM hannun.events e
 WHERE e.event_id = %(event_id)s AND e.user_id IS NOT NULL
   AND (SELECT count(*) FROM hannun.shares s
         WHERE s.event_id = e.event_id AND s.revoked_at IS NULL AND s.expires_at > %(now)s) < %(count_max)s
RETURNING user_id;

-- forget_oldest --
-- An event keeps so many links that open nothing any more: nobody fills the table by making and revoking.
DELETE FROM hannun.shares
 WHERE event_id = %(event_id)s AND share_id IN (
       SELECT share_id FROM hannun.shares
        WHERE event_id = %(event_id)s AND (revoked_at IS NOT NULL OR expires_at <= %(now)s)
        ORDER BY created_at DESC, share_id OFFSET %(kept)s);

-- exists --
-- Whether an event was created.
SELECT true FROM hannun.events WHERE event_id = %(event_id)s AND user_id IS NOT NULL;

-- of_event --
-- An event's links, newest first: those that open it, then as many of the others as fit.
SELECT share_id, label, created_at, created_by, expires_at, revoked_at FROM hannun.shares
 WHERE event_id = %(event_id)s
 ORDER BY (revoked_at IS NULL AND expires_at > %(now)s) DESC, created_at DESC, share_id LIMIT %(limit)s;

-- revoke --
-- The link opens nothing from here on.
UPDATE hannun.shares SET revoked_at = coalesce(revoked_at, %(now)s)
 WHERE share_id = %(share_id)s AND event_id = %(event_id)s;

-- opened_by --
-- The link that a secret opens an event by, while it holds and the event is whose it was.
SELECT s.share_id, s.user_id, s.expires_at
  FROM hannun.shares s JOIN hannun.events e ON e.event_id = s.event_id AND e.user_id = s.user_id
 WHERE s.secret_hash = %(secret_hash)s AND s.event_id = %(event_id)s AND s.revoked_at IS NULL AND s.expires_at > %(now)s;
