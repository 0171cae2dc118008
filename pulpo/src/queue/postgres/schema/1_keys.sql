
-- Unique keys. The index ensures that at most one message holds each key, whatever
-- two transactions do at the same moment. The key is in its message and ends with
-- it. `holds_key` is true in the message that holds the key. It is null in a
-- message that only remembers its key: one that is buried, one that was unique
-- while it waited and runs now, or one that came back from such a run after a
-- newer one was published.
CREATE UNIQUE INDEX message_key ON SCHEMA.message(unique_key) WHERE holds_key;
CREATE INDEX message_key_remembered ON SCHEMA.message(unique_key, id)
    WHERE key_mode = 1 AND holds_key IS NULL AND state < 2;

-- Keys that are held for a fixed time, which may outlive their messages. If one began
-- more than a minute from now, the server's clock was set back since then, and it is
-- free.
CREATE TABLE SCHEMA.timed_key(
    key text COLLATE "C" PRIMARY KEY,
    message bigint NOT NULL,
    began timestamptz NOT NULL,
    ends timestamptz NOT NULL);
CREATE INDEX timed_key_message ON SCHEMA.timed_key(message);
CREATE INDEX timed_key_ends ON SCHEMA.timed_key(ends);

-- Adapts the keys when the states of their messages change, in the same
-- transaction. A message that is buried gives up its key, and so does one that was
-- unique while it waited and is leased now. A message that waits again after such a
-- run takes the key if it is free. A key that is given up goes to the newest
-- message that waits for it.
--
-- It never waits long for a lock. A transaction that has published a message with
-- the same key may stay open for a while, and its message is the newest.
CREATE FUNCTION SCHEMA.move_key() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = '50ms' AS $move_key$
DECLARE
    heir bigint;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.holds_key AND (NEW.state = 3 OR NEW.state = 2 AND NEW.key_mode = 1) THEN
            UPDATE SCHEMA.message SET holds_key = NULL WHERE id = NEW.id;
        ELSIF NEW.holds_key IS NULL AND NEW.key_mode = 1 AND NEW.state < 2 AND OLD.state >= 2 THEN
            heir := NEW.id;
        ELSE
            RETURN NULL;
        END IF;
    END IF;
    IF heir IS NULL THEN
        SELECT id INTO heir FROM SCHEMA.message
        WHERE unique_key = OLD.unique_key AND key_mode = 1 AND holds_key IS NULL AND state < 2 AND id <> OLD.id
        ORDER BY id DESC LIMIT 1 FOR UPDATE SKIP LOCKED;
    END IF;
    IF heir IS NULL OR EXISTS (SELECT FROM SCHEMA.message WHERE unique_key = OLD.unique_key AND holds_key) THEN
        RETURN NULL;
    END IF;
    BEGIN
        UPDATE SCHEMA.message SET holds_key = true WHERE id = heir AND holds_key IS NULL;
    EXCEPTION WHEN unique_violation OR lock_not_available THEN
        NULL;
    END;
    RETURN NULL;
END
$move_key$;

CREATE TRIGGER message_key_ends AFTER DELETE ON SCHEMA.message
    FOR EACH ROW WHEN (OLD.holds_key) EXECUTE FUNCTION SCHEMA.move_key();
CREATE TRIGGER message_key_moves AFTER UPDATE OF state ON SCHEMA.message
    FOR EACH ROW WHEN (OLD.unique_key IS NOT NULL AND (OLD.state >= 2 OR NEW.state >= 2))
    EXECUTE FUNCTION SCHEMA.move_key();

-- Stores a message. Returns the message that counts, and whether it is new, kept or
-- replaced. If `duplicate` is "reject", a taken key is an error.
--
-- A waiting message that is kept in place of this one is locked until the
-- transaction ends, so that its run sees what the transaction has written. Workers
-- skip it until then.
CREATE FUNCTION SCHEMA.keep(
    new_queue text, new_type text, new_priority bigint, new_due timestamptz, new_ttr bigint, new_text text,
    new_limit_key text, new_key text, new_mode integer, new_time bigint, new_expires timestamptz, duplicate text,
    OUT kept_id bigint, OUT publication text)
LANGUAGE plpgsql AS $keep$
DECLARE
    is_delayed boolean := coalesce(new_due > now(), false);
    holder bigint;
    holder_waits boolean;
    gives_way boolean;
    is_timed boolean;
BEGIN
    publication := 'new';
    IF new_key IS NULL THEN
        INSERT INTO SCHEMA.message(queue, request_type, state, priority, due, due_since, ttr, text, limit_key)
        VALUES (new_queue, new_type, is_delayed::integer, new_priority, CASE WHEN is_delayed THEN new_due END,
            greatest(new_due, now()), new_ttr, new_text, new_limit_key)
        RETURNING id INTO kept_id;
        RETURN;
    END IF;
    FOR attempt IN 1..100 LOOP
        -- Most keys are free, and the index says so too.
        IF attempt > 1 THEN
            SELECT id, state < 2, CASE WHEN state < 2 THEN coalesce(expires < clock_timestamp(), false) ELSE new_mode = 1 END
                INTO holder, holder_waits, gives_way
                FROM SCHEMA.message WHERE unique_key = new_key AND holds_key;
            is_timed := holder IS NULL OR gives_way;
            IF is_timed THEN
                SELECT message INTO kept_id FROM SCHEMA.timed_key
                    WHERE key = new_key AND ends > clock_timestamp() AND began <= clock_timestamp() + interval '1 minute';
            ELSE
                kept_id := holder;
            END IF;
            IF kept_id IS NOT NULL THEN
                IF duplicate = 'reject' THEN
                    RAISE EXCEPTION 'message % has the same unique key', kept_id USING ERRCODE = 'unique_violation',
                        DETAIL = kept_id::text, CONSTRAINT = 'message_key',
                        HINT = 'Leave out on_duplicate, and the message that is there is kept.';
                ELSIF is_timed OR NOT holder_waits THEN
                    publication := 'kept';
                    RETURN;
                ELSIF duplicate = 'replace' THEN
                    -- Its place and its id stay. If it goes on waiting, it has waited
                    -- since it was published.
                    UPDATE SCHEMA.message SET queue = new_queue, state = is_delayed::integer, priority = new_priority,
                        due = CASE WHEN is_delayed THEN new_due END,
                        due_since = CASE WHEN state = 0 AND NOT is_delayed THEN due_since ELSE greatest(new_due, now()) END,
                        since = CASE WHEN state = 0 AND NOT is_delayed THEN since ELSE now() END,
                        ttr = new_ttr, attempts = 0, abandoned = 0, alone = false, left_since = NULL,
                        last_error = NULL, last_error_at = NULL, key_mode = new_mode, expires = new_expires,
                        limit_key = new_limit_key, text = new_text
                    WHERE id = kept_id AND holds_key AND state < 2;
                    publication := 'replaced';
                ELSE
                    PERFORM FROM SCHEMA.message WHERE id = kept_id AND holds_key AND state < 2 FOR SHARE;
                    publication := 'kept';
                END IF;
                IF FOUND THEN
                    RETURN;
                END IF;
                -- It has begun to run, or was deleted.
                kept_id := NULL;
                publication := 'new';
                CONTINUE;
            END IF;
            IF holder IS NOT NULL THEN
                UPDATE SCHEMA.message SET holds_key = NULL WHERE id = holder AND holds_key AND (state < 2) = holder_waits;
            END IF;
        END IF;
        INSERT INTO SCHEMA.message(queue, request_type, state, priority, due, due_since, ttr, text, limit_key,
            unique_key, key_mode, holds_key, expires)
        SELECT new_queue, new_type, is_delayed::integer, new_priority, CASE WHEN is_delayed THEN new_due END,
            greatest(new_due, now()), new_ttr, new_text, new_limit_key, new_key, new_mode, true, new_expires
        WHERE attempt > 1
            OR NOT EXISTS (SELECT FROM SCHEMA.timed_key
                WHERE key = new_key AND ends > clock_timestamp() AND began <= clock_timestamp() + interval '1 minute')
        ON CONFLICT (unique_key) WHERE holds_key DO NOTHING RETURNING id INTO kept_id;
        IF kept_id IS NULL THEN
            -- It is taken, or another transaction was faster.
            CONTINUE;
        END IF;
        -- A timed key may have been taken in the meantime, by a transaction that
        -- waited for the place in the index like this one.
        IF new_mode = 2 THEN
            INSERT INTO SCHEMA.timed_key AS taken(key, message, began, ends)
            VALUES (new_key, kept_id, clock_timestamp(), clock_timestamp() + new_time * interval '1 microsecond')
            ON CONFLICT (key) DO UPDATE SET message = excluded.message, began = excluded.began, ends = excluded.ends
                WHERE taken.ends <= clock_timestamp() OR taken.began > clock_timestamp() + interval '1 minute';
            IF FOUND THEN
                UPDATE SCHEMA.message SET holds_key = NULL WHERE id = kept_id;
                DELETE FROM SCHEMA.timed_key WHERE key = ANY (ARRAY(SELECT key FROM SCHEMA.timed_key
                    WHERE ends <= now() ORDER BY ends LIMIT 16 FOR UPDATE SKIP LOCKED));
                RETURN;
            END IF;
        ELSE
            PERFORM FROM SCHEMA.timed_key
                WHERE key = new_key AND ends > clock_timestamp() AND began <= clock_timestamp() + interval '1 minute';
            IF NOT FOUND THEN
                RETURN;
            END IF;
        END IF;
        DELETE FROM SCHEMA.message WHERE id = kept_id;
        kept_id := NULL;
    END LOOP;
    RAISE EXCEPTION 'cannot see who has the unique key' USING ERRCODE = 'serialization_failure';
END
$keep$;
