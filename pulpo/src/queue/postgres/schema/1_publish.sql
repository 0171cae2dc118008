
-- Publishes a job in the transaction of the caller. Returns the message that counts,
-- and whether it is new, kept or replaced. See `publish`.
CREATE FUNCTION SCHEMA.publish_job(
    request_type text, body jsonb, header jsonb, queue text, notify boolean, limit_key text,
    OUT id bigint, OUT publication text)
LANGUAGE plpgsql AS $publish_job$
DECLARE
    known SCHEMA.route%ROWTYPE;
    target text;
    delay timestamptz;
    expiration timestamptz;
    urgency numeric;
    given jsonb := coalesce(publish_job.header, '{}');
    content jsonb := coalesce(publish_job.body, 'null');
    said_delay text;
    number numeric;
    key text;
    unique_for text;
    mode integer := 0;
    micros bigint;
    duplicate text;
BEGIN
    IF coalesce(publish_job.request_type, '') = '' THEN
        RAISE EXCEPTION 'expected a request type, such as send_email' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF jsonb_typeof(given) <> 'object' THEN
        RAISE EXCEPTION 'expected a JSON object as header, got %', jsonb_typeof(given)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    said_delay := nullif(btrim(given->>'delay'), '');
    IF jsonb_typeof(content) <> 'object' THEN
        content := jsonb_build_object('payload', content);
    END IF;
    SELECT * INTO known FROM SCHEMA.route WHERE route.request_type = publish_job.request_type;
    target := coalesce(publish_job.queue, known.queue, 'pulpo');
    IF target = '' THEN
        RAISE EXCEPTION 'expected the name of a queue, got an empty string' USING ERRCODE = 'invalid_parameter_value';
    ELSIF octet_length(target) > 500 OR strpos(target, chr(10)) > 0 THEN
        RAISE EXCEPTION 'expected the name of a queue of 500 bytes at most, without line feeds, got %', left(target, 50)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    urgency := CASE jsonb_typeof(given->'priority')
        WHEN 'number' THEN trunc((given->>'priority')::numeric)
        WHEN 'string' THEN trunc((given->>'priority')::numeric) END;
    urgency := least(greatest(coalesce(urgency, known.priority, 65536), 0), 4294967295);
    -- A number is seconds, milli-, micro- or nanoseconds since 1970, by its magnitude.
    IF jsonb_typeof(given->'delay') = 'number' OR said_delay ~ '^[0-9]+([.][0-9]+)?$' AND length(said_delay) <> 14 THEN
        number := said_delay::numeric;
        IF number >= 1e9 AND number < 1e21 THEN
            number := number / CASE WHEN number < 1e12 THEN 1 WHEN number < 1e15 THEN 1e3 WHEN number < 1e18 THEN 1e6
                ELSE 1e9 END;
            delay := to_timestamp(number::float8);
        END IF;
    ELSE
        delay := said_delay::timestamptz;
    END IF;
    IF said_delay IS NOT NULL AND coalesce(NOT isfinite(delay) OR delay >= '10000-01-01 00:00:00+00', true) THEN
        RAISE EXCEPTION '`delay`: expected a time such as 2026-11-23T09:00:00Z, got %', given->'delay'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Earlier times count as past too, and may have no year that can be written.
    delay := CASE WHEN delay < 'epoch' THEN 'epoch' ELSE delay END;
    given := jsonb_strip_nulls(given) || jsonb_build_object('request_type', publish_job.request_type, 'priority', urgency);
    IF delay IS NOT NULL THEN
        given := given || jsonb_build_object(
            'delay', to_char(delay AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
    END IF;
    key := given->>'unique_key';
    IF key IS NOT NULL THEN
        unique_for := coalesce(given->>'unique_for', 'unfinished');
        duplicate := coalesce(given->>'on_duplicate', 'keep');
        IF key = '' THEN
            RAISE EXCEPTION '`unique_key`: expected a key, got an empty string' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        -- A longer key is replaced by its hash, because of the index.
        IF octet_length(key) > 200 THEN
            key := '1:sha256:' || encode(sha256(convert_to(key, 'UTF8')), 'hex');
        END IF;
        key := publish_job.request_type || E'\n' || key;
        IF unique_for = 'waiting' THEN
            mode := 1;
        ELSIF unique_for <> 'unfinished' THEN
            mode := 2;
            -- The forms that programs in Rust accept, in microseconds; an interval accepts
            -- others. Without backslashes, which a session may read as escapes.
            IF unique_for ~ '^([[:space:]]*[0-9]+([.][0-9]+)?[[:space:]]*[A-Za-zµ]+)+[[:space:]]*$' THEN
                SELECT CASE WHEN bool_and(unit.micros IS NOT NULL)
                    THEN ceil(least(sum(part[1]::numeric * unit.micros), 31556952000000000)) END INTO micros
                FROM regexp_matches(unique_for, '([0-9]+(?:[.][0-9]+)?)[[:space:]]*([A-Za-zµ]+)', 'g') AS part
                LEFT JOIN (VALUES ('^(nanos|nsec|ns)$', 0.001), ('^(usec|us|µs)$', 1), ('^(millis|msec|ms)$', 1000),
                    ('^(s|secs?|seconds?)$', 1000000), ('^(m|mins?|minutes?)$', 60000000),
                    ('^(h|hrs?|hours?)$', 3600000000), ('^(d|days?)$', 86400000000), ('^(w|wks?|weeks?)$', 604800000000),
                    ('^(M|months?)$', 2630016000000), ('^(y|yrs?|years?)$', 31557600000000)) AS unit(name, micros)
                    ON part[2] ~ unit.name;
            END IF;
            IF coalesce(micros, 0) <= 0 THEN
                RAISE EXCEPTION '`unique_for`: expected "unfinished", "waiting" or a time such as "1h", got %', given->'unique_for'
                    USING ERRCODE = 'invalid_parameter_value';
            END IF;
        END IF;
        IF duplicate NOT IN ('keep', 'replace', 'reject') THEN
            RAISE EXCEPTION '`on_duplicate`: expected "keep", "replace" or "reject", got %', given->'on_duplicate'
                USING ERRCODE = 'invalid_parameter_value';
        ELSIF duplicate = 'replace' AND mode <> 1 THEN
            RAISE EXCEPTION '`on_duplicate` can be "replace" only where `unique_for` is "waiting": a job that may have started cannot be replaced'
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        BEGIN
            expiration := CASE jsonb_typeof(given->'expiration')
                WHEN 'number' THEN to_timestamp((given->>'expiration')::float8)
                ELSE (given->>'expiration')::timestamptz END;
        EXCEPTION WHEN data_exception THEN
            -- The worker understands more forms. The key is held until it looks.
            expiration := NULL;
        END;
    END IF;
    SELECT kept.kept_id, kept.publication INTO id, publication FROM SCHEMA.keep(
        target, publish_job.request_type, urgency::bigint, delay, coalesce(known.ttr, 60000),
        jsonb_build_object('header', given, 'body', content)::text, publish_job.limit_key, key, mode, micros, expiration,
        duplicate) AS kept;
    IF publication = 'new' THEN
        INSERT INTO SCHEMA.uncounted(queue, request_type) VALUES (target, left(publish_job.request_type, 500));
    END IF;
    IF publish_job.notify THEN
        PERFORM pg_notify('CHANNEL', target);
    END IF;
END
$publish_job$;

-- Publishes a job in the transaction of the caller, and returns its id. If its
-- unique key is taken, that is the id of the message that counts. Without a queue,
-- the job goes to the queue of the workers that have a handler for the type.
-- `header` may contain priority, delay, expiration, unique_key, unique_for,
-- on_duplicate, and keys of your own. With `notify => false`, workers find the job
-- by polling within two seconds: use it in transactions that publish many jobs
-- while others commit.
CREATE FUNCTION SCHEMA.publish(
    request_type text, body jsonb DEFAULT '{}', header jsonb DEFAULT '{}', queue text DEFAULT NULL,
    notify boolean DEFAULT true)
RETURNS bigint LANGUAGE sql AS $publish$
    SELECT id FROM SCHEMA.publish_job($1, $2, $3, $4, $5, NULL)
$publish$;
