
-- Limits across all workers.

-- The starts of runs, as far back as a rate counts.
CREATE TABLE SCHEMA.started(
    scope text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    count bigint NOT NULL,
    ends timestamptz NOT NULL,
    PRIMARY KEY (scope, key, at))
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX started_ends ON SCHEMA.started(ends);

-- Deletes some starts that no rate counts any more.
CREATE FUNCTION SCHEMA.forget_starts(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $forget_starts$
BEGIN
    DELETE FROM SCHEMA.started WHERE ctid = ANY (ARRAY(SELECT ctid FROM SCHEMA.started
        WHERE ends <= moment ORDER BY ends LIMIT 256 FOR UPDATE SKIP LOCKED));
END
$forget_starts$;

-- Request types that are held back until this time; with a key, only the messages
-- with that key. If it began more than a minute from now, the server's clock was set
-- back since then, and it holds nothing.
CREATE TABLE SCHEMA.held_back(
    request_type text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    began timestamptz NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (request_type, key));

-- Gives back the starts that were counted for these deliveries, of which no
-- handler was called; without an id, those of all of the token.
CREATE FUNCTION SCHEMA.give_back(ids bigint[], tokens text[]) RETURNS void LANGUAGE plpgsql AS $give_back$
DECLARE
    one record;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    -- In one order for all.
    FOR one IN WITH had AS (SELECT message.id, message.starts
                FROM unnest(ids, tokens) AS held(id, token)
                JOIN SCHEMA.message ON message.lease = held.token AND message.id = coalesce(held.id, message.id)
                WHERE message.state = 2 AND message.starts IS NOT NULL FOR UPDATE OF message),
            ended AS (UPDATE SCHEMA.message SET starts = NULL FROM had WHERE message.id = had.id RETURNING had.starts)
        SELECT start->>0 AS scope, start->>1 AS key, (start->>2)::timestamptz AS at, count(*) AS count
        FROM ended, jsonb_array_elements(ended.starts) AS start GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LOOP
        UPDATE SCHEMA.started SET count = greatest(started.count - one.count, 0)
        WHERE scope = one.scope AND key = one.key AND at = one.at;
    END LOOP;
END
$give_back$;

-- The next messages of each key, past those of other keys.
CREATE INDEX message_ready_key ON SCHEMA.message(queue, request_type, limit_key, priority, id)
    WHERE state < 1 AND limit_key IS NOT NULL;

-- Returns how many more messages of this queue, type and key may start within all
-- limits that apply to them. `used` holds the counts of the claim so far: for each
-- limit (by its place in `limits`) and key, how much is used; `wake`, when a rate
-- lets a message start; and `runs`, whether running jobs are in the way.
CREATE FUNCTION SCHEMA.room(
    limits jsonb, of_queue text, of_type text, of_limit_key text, is_ahead boolean, joins boolean, moment timestamptz,
    INOUT used jsonb, OUT room bigint)
LANGUAGE plpgsql AS $room$
DECLARE
    one jsonb;
    place integer := -1;
    its_key text;
    slot text;
    most bigint;
    count bigint;
    first timestamptz;
    left_over bigint;
    scopes text[];
BEGIN
    room := 1000000;
    FOR one IN SELECT * FROM jsonb_array_elements(limits) LOOP
        place := place + 1;
        CONTINUE WHEN NOT coalesce(one->>'queue' = of_queue, one->'types' ? of_type);
        most := (one->>'most')::bigint;
        its_key := CASE WHEN NOT (one->>'by_key')::boolean THEN ''
            WHEN one->'period' = 'null' THEN split_part(of_limit_key, E'\n', 2) ELSE split_part(of_limit_key, E'\n', 1) END;
        slot := place || ' ' || its_key;
        count := (used->>slot)::bigint;
        IF one->'period' = 'null' THEN
            count := coalesce(count, 0);
            IF joins THEN
                left_over := CASE WHEN used ? ('joins ' || slot) OR count < most THEN room ELSE 0 END;
            ELSIF (one->>'batches')::boolean THEN
                -- The other messages of a batch join the first one.
                left_over := CASE WHEN used ? ('takes ' || place) THEN 0 ELSE least(most - count, 1) END;
            ELSE
                left_over := most - count;
            END IF;
            IF left_over <= 0 THEN
                used := used || '{"runs": true}';
            END IF;
        ELSE
            IF count IS NULL THEN
                -- Starts far in the future are from before the clock was set back.
                scopes := ARRAY(SELECT jsonb_array_elements_text(one->'scopes'));
                SELECT coalesce(sum(started.count), 0), min(at) INTO count, first FROM SCHEMA.started
                    WHERE scope = ANY (scopes) AND key = its_key AND started.count > 0
                        AND at > moment - (one->>'period')::bigint * interval '1 microsecond'
                        AND at <= moment + (one->>'period')::bigint * interval '1 microsecond';
                used := used || jsonb_build_object(slot, count);
                IF count >= most THEN
                    first := first + (one->>'period')::bigint * interval '1 microsecond';
                    used := used || jsonb_build_object('wake',
                        least((used->>'wake')::numeric, extract(epoch FROM first)::numeric));
                END IF;
            END IF;
            -- Nothing is leased ahead within a low rate, or once half of a rate is
            -- used.
            left_over := CASE WHEN NOT is_ahead THEN most - count WHEN most < 64 THEN 0 ELSE most / 2 - count END;
        END IF;
        room := least(room, left_over);
    END LOOP;
END
$room$;

-- Returns when a start counts. One that is leased ahead begins within 20
-- milliseconds, and counts at the end of these. Of a rate of many starts, those of a
-- thousandth of its period count together at its end, so that it has at most about
-- a thousand rows. It is one expression, so that PostgreSQL makes it a part of the
-- statement that calls it.
CREATE FUNCTION SCHEMA.counted_at(moment timestamptz, is_ahead boolean, most bigint, period bigint) RETURNS timestamptz
LANGUAGE sql STABLE AS $counted_at$
    SELECT moment + CASE WHEN is_ahead THEN 20000 ELSE 0 END * interval '1 microsecond'
        + CASE WHEN period / 1000 > 1 AND most > 1000 THEN (period / 1000
            - ((extract(epoch FROM moment) * 1000000)::bigint + CASE WHEN is_ahead THEN 20000 ELSE 0 END) % (period / 1000))
            % (period / 1000) ELSE 0 END * interval '1 microsecond'
$counted_at$;

-- Returns the rates that apply to these kinds, with when a start of each kind counts,
-- if no limit that applies to them is by key and all have room for `total` more.
-- Otherwise it returns null, and `claim_first` decides for each message. `counted`
-- holds how many runs each limit has, as in `room`.
CREATE FUNCTION SCHEMA.rates_with_room(of_kinds jsonb, of_limits jsonb, counted jsonb, total bigint, instant timestamptz)
RETURNS jsonb LANGUAGE plpgsql AS $rates_with_room$
BEGIN
    RETURN (SELECT CASE WHEN coalesce(bool_and(NOT by_key AND cap - amount >= total
            AND (period IS NULL OR cap >= 64 AND cap / 2 - amount >= total)), true)
        THEN coalesce(jsonb_agg(jsonb_build_object('queue', bound.queue, 'request_type', bound.request_type,
            'period', period,
            'scope', CASE WHEN of_queue THEN 'queue ' || bound.queue ELSE 'handler ' || bound.request_type END,
            'at', SCHEMA.counted_at(instant, false, cap, period),
            'early_at', SCHEMA.counted_at(instant, true, cap, period))) FILTER (WHERE period IS NOT NULL), '[]') END
    FROM (SELECT said.*, kind->>'queue' AS queue, kind->>'type' AS request_type, CASE WHEN period IS NULL
                THEN coalesce((counted->>((place - 1) || ' '))::bigint, 0)
                -- Starts far in the future are from before the clock was set back.
                ELSE (SELECT coalesce(sum(started.count), 0)::bigint FROM SCHEMA.started
                    WHERE started.scope = ANY (scopes) AND started.key = '' AND started.count > 0
                        AND started.at > instant - period * interval '1 microsecond'
                        AND started.at <= instant + period * interval '1 microsecond') END AS amount
        FROM (SELECT place, one->'types' AS types, one->>'queue' AS only_queue, one->>'queue' IS NOT NULL AS of_queue,
                (one->>'most')::bigint AS cap, (one->>'period')::bigint AS period, (one->>'by_key')::boolean AS by_key,
                ARRAY(SELECT jsonb_array_elements_text(one->'scopes')) AS scopes
            FROM jsonb_array_elements(of_limits) WITH ORDINALITY AS numbered(one, place)) AS said
        JOIN jsonb_array_elements(of_kinds) AS kind
            ON coalesce(said.only_queue = kind->>'queue', said.types ? (kind->>'type')) OFFSET 0) AS bound);
END
$rates_with_room$;

-- Leases the first messages of these kinds that all limits let start, in one
-- statement: `total` of them, those after `lanes` ahead. `counted` holds how many
-- runs each key of a limit has, as in `room`.
--
-- It looks at the first messages of each kind only, and never further in one kind
-- than in another. If all of these must wait, it leases nothing, and a longer
-- search follows. Of messages that have a key in common, it may lease fewer than
-- could start: the others are the first ones of the next claim.
CREATE FUNCTION SCHEMA.claim_first(
    of_kinds jsonb, of_limits jsonb, counted jsonb, lanes bigint, total bigint, its_token text, instant timestamptz,
    no_two_types text[], no_two_queues text[], not_early text[])
RETURNS TABLE(
    leased_id bigint, leased_queue text, leased_type text, leased_attempts integer, leased_abandoned integer,
    leased_due_since timestamptz, leased_left_since timestamptz, leased_ttr bigint, leased_text text,
    leased_ahead boolean, leased_alone boolean)
LANGUAGE plpgsql AS $claim_first$
BEGIN
    RETURN QUERY
    WITH kind AS MATERIALIZED (
        SELECT one->>'queue' AS queue, one->>'type' AS request_type,
            total + CASE WHEN (one->>'is_keyed')::boolean THEN 100 ELSE 16 END AS depth
        FROM jsonb_array_elements(of_kinds) AS one),
    -- Each kind with each limit that applies to it.
    bound AS MATERIALIZED (
        SELECT place, cap, period, by_key, scopes, kind.queue, kind.request_type,
            CASE WHEN of_queue THEN 'queue ' || kind.queue ELSE 'handler ' || kind.request_type END
                || CASE WHEN by_key THEN ' by key' ELSE '' END AS scope,
            SCHEMA.counted_at(instant, false, cap, period) AS at_once,
            SCHEMA.counted_at(instant, true, cap, period) AS at_early
        FROM (SELECT place, one->'types' AS types, one->>'queue' AS queue, one->>'queue' IS NOT NULL AS of_queue,
                (one->>'most')::bigint AS cap, (one->>'period')::bigint AS period, (one->>'by_key')::boolean AS by_key,
                ARRAY(SELECT jsonb_array_elements_text(one->'scopes')) AS scopes
            FROM jsonb_array_elements(of_limits) WITH ORDINALITY AS numbered(one, place)) AS said
        JOIN kind ON coalesce(said.queue = kind.queue, said.types ? kind.request_type)),
    front AS MATERIALIZED (
        SELECT kind.queue, kind.request_type, kind.depth, next.priority, next.id, next.limit_key,
            row_number() OVER (PARTITION BY kind.queue, kind.request_type ORDER BY next.priority, next.id) AS rank
        FROM kind CROSS JOIN LATERAL (
            (SELECT message.priority, message.id, '' AS limit_key FROM SCHEMA.message
                WHERE message.state < 1 AND message.limit_key IS NULL AND message.queue = kind.queue
                    AND message.request_type = kind.request_type ORDER BY message.priority, message.id LIMIT kind.depth)
            UNION ALL
            (SELECT message.priority, message.id, message.limit_key FROM SCHEMA.message
                WHERE message.state < 1 AND message.limit_key IS NOT NULL AND message.queue = kind.queue
                    AND message.request_type = kind.request_type ORDER BY message.priority, message.id LIMIT kind.depth)
            ORDER BY 1, 2 LIMIT kind.depth) AS next),
    -- Each message with each limit, and the key by which that counts it.
    share AS MATERIALIZED (
        SELECT front.queue, front.request_type, front.priority, front.id, bound.place, bound.cap, bound.period,
            bound.scopes, bound.scope, bound.at_once, bound.at_early, CASE WHEN NOT bound.by_key THEN ''
                WHEN bound.period IS NULL THEN split_part(front.limit_key, E'\n', 2)
                ELSE split_part(front.limit_key, E'\n', 1) END AS key
        FROM front LEFT JOIN bound ON bound.queue = front.queue AND bound.request_type = front.request_type),
    used AS MATERIALIZED (
        SELECT asked.place, asked.key, CASE WHEN asked.period IS NULL
            THEN coalesce((counted->>((asked.place - 1) || ' ' || asked.key))::bigint, 0)
            -- Starts far in the future are from before the clock was set back.
            ELSE (SELECT coalesce(sum(started.count), 0)::bigint FROM SCHEMA.started
                WHERE started.scope = ANY (asked.scopes) AND started.key = asked.key AND started.count > 0
                    AND started.at > instant - asked.period * interval '1 microsecond'
                    AND started.at <= instant + asked.period * interval '1 microsecond') END AS amount
        FROM (SELECT DISTINCT share.place, share.key, share.period, share.scopes FROM share
            WHERE share.place IS NOT NULL) AS asked),
    -- How far it has looked in all kinds. One of which nothing may start does not
    -- count.
    horizon AS MATERIALIZED (
        SELECT front.priority, front.id FROM front WHERE front.rank = front.depth AND NOT EXISTS (
            SELECT FROM bound JOIN used ON used.place = bound.place WHERE NOT bound.by_key AND used.amount >= bound.cap
                AND bound.queue = front.queue AND bound.request_type = front.request_type)
        ORDER BY front.priority, front.id LIMIT 1),
    -- Without the messages of which a limit is used up.
    free AS (
        SELECT * FROM (SELECT share.*, share.cap - used.amount AS left_over,
                bool_or(used.amount >= share.cap) OVER (PARTITION BY share.id) AS is_full
            FROM share LEFT JOIN used ON used.place = share.place AND used.key = share.key
            WHERE coalesce((share.priority, share.id) <= ((SELECT horizon.priority FROM horizon),
                (SELECT horizon.id FROM horizon)), true)) AS looked
        WHERE NOT coalesce(looked.is_full, false)),
    line AS (
        SELECT nth.queue, nth.request_type, nth.priority, nth.id,
            coalesce(bool_and(nth.number <= nth.left_over), true) AS fits,
            -- Nothing is leased ahead within a low rate, or once half of a rate is
            -- used.
            coalesce(bool_and(nth.number <= CASE WHEN nth.period IS NULL THEN nth.left_over WHEN nth.cap < 64 THEN 0
                ELSE nth.left_over - (nth.cap - nth.cap / 2) END), true) AS fits_early,
            jsonb_agg(jsonb_build_array(nth.scope, nth.key, nth.at_once)) FILTER (WHERE nth.period IS NOT NULL) AS starts,
            jsonb_agg(jsonb_build_array(nth.scope, nth.key, nth.at_early)) FILTER (WHERE nth.period IS NOT NULL)
                AS early_starts
        FROM (SELECT free.*, row_number() OVER (PARTITION BY free.place, free.key ORDER BY free.priority, free.id) AS number
            FROM free) AS nth
        GROUP BY nth.queue, nth.request_type, nth.priority, nth.id),
    held AS MATERIALIZED (
        SELECT message.place, after.priority, after.id, after.fits_early, after.starts, after.early_starts,
            message.starts_alone OR after.request_type = ANY (not_early) AS starts_alone
        FROM (SELECT * FROM (SELECT line.*,
                    row_number() OVER (PARTITION BY line.request_type ORDER BY line.priority, line.id) AS of_type,
                    row_number() OVER (PARTITION BY line.queue ORDER BY line.priority, line.id) AS of_queue
                FROM line) AS numbered
            WHERE numbered.fits AND (numbered.of_type = 1 OR numbered.request_type <> ALL (no_two_types))
                AND (numbered.of_queue = 1 OR numbered.queue <> ALL (no_two_queues))
            ORDER BY numbered.priority, numbered.id) AS after
        CROSS JOIN LATERAL (SELECT message.ctid AS place,
                message.alone OR coalesce(message.key_mode = 1, false) AS starts_alone
            FROM SCHEMA.message WHERE message.id = after.id AND message.state = 0
            FOR UPDATE SKIP LOCKED) AS message
        ORDER BY after.priority, after.id LIMIT total),
    chosen AS MATERIALIZED (
        SELECT after.place, after.is_early, CASE WHEN after.is_early THEN after.early_starts ELSE after.starts END AS starts
        FROM (SELECT numbered.*,
                bool_or(numbered.is_early AND numbered.starts_alone) OVER (ORDER BY numbered.priority, numbered.id) AS waits
            FROM (SELECT held.*, row_number() OVER (ORDER BY held.priority, held.id) > lanes AS is_early FROM held)
                AS numbered) AS after
        WHERE NOT after.waits AND (NOT after.is_early OR after.fits_early)),
    leased AS (
        UPDATE SCHEMA.message SET state = 2, lease = its_token, since = instant, ahead = chosen.is_early,
            lease_ends = instant + message.ttr * interval '1 millisecond', run = NULL, starts = chosen.starts
        FROM chosen WHERE message.ctid = chosen.place
        RETURNING message.*),
    -- Of what was leased, as above.
    kept AS (
        INSERT INTO SCHEMA.started AS started(scope, key, at, count, ends)
        SELECT start.scope, start.key, start.at, start.count, start.at + rate.period * interval '1 microsecond'
        FROM (SELECT start->>0 AS scope, start->>1 AS key, (start->>2)::timestamptz AS at, count(*) AS count
            FROM leased, jsonb_array_elements(leased.starts) AS start GROUP BY 1, 2, 3) AS start
        JOIN (SELECT bound.scope, max(bound.period) AS period FROM bound GROUP BY bound.scope) AS rate
            ON rate.scope = start.scope
        ORDER BY start.scope, start.key, start.at
        ON CONFLICT (scope, key, at) DO UPDATE SET count = started.count + excluded.count,
            ends = greatest(started.ends, excluded.ends))
    SELECT leased.id, leased.queue, leased.request_type, leased.attempts, leased.abandoned, leased.due_since,
        leased.left_since, leased.ttr, leased.text, leased.ahead, leased.alone
    FROM leased ORDER BY leased.priority, leased.id;
END
$claim_first$;

-- Leases what comes next and may start, as the claim of a worker without limits
-- does it without them. `limits` are those of the worker: each with the names that
-- its starts are counted under (`scopes`, one for each of its `types`), the `queue`
-- or the request `types` that it holds for, `most`, the `period` of a rate in microseconds, whether it holds
-- `by_key`, and whether `batches` are taken. `joins` is the message that is in
-- hand, with which what is taken is one run.
--
-- The last row has no id. It says for how many seconds no message may start, and
-- whether running jobs are in the way.
--
-- Workers that ask for the same limit wait for each other while this runs.
CREATE FUNCTION SCHEMA.claim_limited(
    queues text[], wanted text, except_types text[], single_types text[], single_queues text[], never_ahead text[],
    at_once bigint, ahead bigint, token text, limits jsonb, joins bigint)
RETURNS TABLE(
    leased_id bigint, leased_queue text, leased_type text, leased_attempts integer, leased_abandoned integer,
    leased_due_since timestamptz, leased_left_since timestamptz, leased_ttr bigint, leased_text text,
    leased_ahead boolean, leased_alone boolean, wake_in float8, waits_for_runs boolean)
-- As our own sessions have them. Those of a pooler do not, and there compiling the
-- plans would take longer than the claim.
LANGUAGE plpgsql SET jit = off SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $claim_limited$
DECLARE
    most bigint := at_once + ahead;
    moment timestamptz;
    kinds jsonb;
    k record;
    m record;
    said record;
    used jsonb;
    is_rated boolean;
    is_done boolean := false;
    rates jsonb;
    only_queue text;
    least_cap bigint;
    takes_batches boolean;
    key_used jsonb;
    room bigint;
    rooms jsonb;
    candidates bigint[] := '{}';
    hits bigint;
    looked bigint;
    held_keys text[];
    last_key text;
    free_at timestamptz;
    picked bigint[] := '{}';
    picked_ahead boolean[] := '{}';
    is_ahead boolean;
    singles text[] := '{}';
    start_ids bigint[] := '{}';
    start_scopes text[] := '{}';
    start_keys text[] := '{}';
    start_periods bigint[] := '{}';
    start_times timestamptz[] := '{}';
    start_at timestamptz;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    -- The kinds of messages that are ready, and the limits that apply to each.
    SELECT jsonb_agg(jsonb_build_object('queue', ready.queue, 'type', ready.request_type, 'is_keyed', is_keyed,
        'is_limited', is_keyed IS NOT NULL)) INTO kinds
    FROM (WITH RECURSIVE kind(queue, request_type) AS (
            SELECT asked.queue, least((SELECT message.request_type FROM SCHEMA.message
                    WHERE state < 1 AND limit_key IS NULL AND message.queue = asked.queue
                    ORDER BY message.request_type LIMIT 1),
                (SELECT message.request_type FROM SCHEMA.message
                    WHERE state < 1 AND limit_key IS NOT NULL AND message.queue = asked.queue
                    ORDER BY message.request_type LIMIT 1))
            FROM unnest(queues) AS asked(queue)
            WHERE NOT EXISTS (SELECT FROM SCHEMA.pause WHERE pause.queue = asked.queue AND until > now())
            UNION ALL
            SELECT kind.queue, least((SELECT message.request_type FROM SCHEMA.message
                    WHERE state < 1 AND limit_key IS NULL AND message.queue = kind.queue
                        AND message.request_type > kind.request_type ORDER BY message.request_type LIMIT 1),
                (SELECT message.request_type FROM SCHEMA.message
                    WHERE state < 1 AND limit_key IS NOT NULL AND message.queue = kind.queue
                        AND message.request_type > kind.request_type ORDER BY message.request_type LIMIT 1))
            FROM kind WHERE kind.request_type IS NOT NULL)
        SELECT kind.queue, kind.request_type,
            (SELECT bool_or((one->>'by_key')::boolean) FROM jsonb_array_elements(limits) AS one
                WHERE coalesce(one->>'queue' = kind.queue, one->'types' ? kind.request_type)) AS is_keyed
        FROM kind WHERE kind.request_type = coalesce(wanted, kind.request_type)
            AND kind.request_type <> ALL (except_types)) AS ready;
    kinds := coalesce(kinds, '[]');
    -- One at a time for each name that starts are counted under, in one order for
    -- all. The lock is held for this statement alone.
    PERFORM pg_advisory_xact_lock(key) FROM (
        SELECT DISTINCT hashtextextended('pulpo limit SCHEMA. ' || scope, 0) AS key
        FROM jsonb_array_elements(limits) AS one, jsonb_array_elements_text(one->'scopes') AS scope,
            jsonb_array_elements(kinds) AS kind
        WHERE coalesce(one->>'queue' = kind->>'queue', one->'types' ? (kind->>'type')) ORDER BY key) AS locks;
    moment := clock_timestamp();
    SELECT coalesce(bool_or(period <> 'null'), false), min(cap) FILTER (WHERE period = 'null'),
            coalesce(bool_or(period = 'null' AND batches), false) INTO is_rated, least_cap, takes_batches
        FROM (SELECT one->'period' AS period, (one->>'most')::bigint AS cap, (one->>'batches')::boolean AS batches
            FROM jsonb_array_elements(limits) AS one) AS said;
    used := '{}';
    -- If all running messages together leave room in the smallest limit, whatever this
    -- claim takes, it does not matter which limits they count for.
    IF least_cap IS NOT NULL AND (joins IS NOT NULL OR least_cap <= most + (SELECT count(*) FROM (
            SELECT FROM SCHEMA.message WHERE state = 2 LIMIT greatest(least_cap - most, 0)) AS any_running)) THEN
        -- The running messages, by the keys of each limit that counts runs. Those of a
        -- batch are one run. Most are counted by kind and key before any limit looks at
        -- them.
        WITH running AS MATERIALIZED (
            SELECT id, run, queue, request_type, limit_key FROM SCHEMA.message WHERE state = 2),
        batch AS MATERIALIZED (
            SELECT run AS first FROM running WHERE run IS NOT NULL UNION SELECT joins WHERE joins IS NOT NULL),
        alike AS MATERIALIZED (
            SELECT queue, request_type, limit_key, count(*) AS amount,
                CASE WHEN coalesce(run, id) IN (SELECT batch.first FROM batch) THEN coalesce(run, id) END AS first
            FROM running GROUP BY 1, 2, 3, 5)
        SELECT coalesce(jsonb_object_agg(slot, runs), '{}')
            || coalesce(jsonb_object_agg('joins ' || slot, true) FILTER (WHERE is_joined), '{}') INTO used
        FROM (SELECT (place - 1) || ' ' || key AS slot, bool_or(first = joins) AS is_joined,
                coalesce(sum(amount) FILTER (WHERE first IS NULL), 0)
                    + count(DISTINCT first) FILTER (WHERE first IS DISTINCT FROM joins) AS runs
            FROM jsonb_array_elements(limits) WITH ORDINALITY AS counted(one, place)
            CROSS JOIN LATERAL (SELECT first, amount, CASE WHEN (one->>'by_key')::boolean
                    THEN split_part(coalesce(limit_key, ''), E'\n', 2) ELSE '' END AS key
                FROM alike WHERE coalesce(one->>'queue' = alike.queue, one->'types' ? alike.request_type)) AS counted_run
            WHERE one->'period' = 'null' GROUP BY place, key) AS runs_of_key;
    END IF;

    -- Most claims find room in all limits, or what they want among the first
    -- messages. Batches are rare, and so is anything that is held back.
    IF joins IS NULL AND NOT takes_batches AND NOT EXISTS (SELECT FROM SCHEMA.held_back
            WHERE until > moment AND began <= moment + interval '1 minute') THEN
        IF single_types = '{}' AND single_queues = '{}' THEN
            rates := SCHEMA.rates_with_room(kinds, limits, used, most, moment);
            only_queue := CASE WHEN kinds <> '[]' AND cardinality(queues) = 1 AND wanted IS NULL AND except_types = '{}'
                THEN queues[1] END;
        END IF;
        IF rates IS NOT NULL THEN
            -- The first messages of these kinds.
            RETURN QUERY
                WITH kind AS MATERIALIZED (
                    SELECT one->>'queue' AS queue, one->>'type' AS request_type, noted.starts, noted.early_starts
                    FROM jsonb_array_elements(kinds) AS one
                    LEFT JOIN (SELECT rate->>'queue' AS queue, rate->>'request_type' AS request_type,
                            jsonb_agg(jsonb_build_array(rate->>'scope', '', rate->>'at')) AS starts,
                            jsonb_agg(jsonb_build_array(rate->>'scope', '', rate->>'early_at')) AS early_starts
                        FROM jsonb_array_elements(rates) AS rate GROUP BY 1, 2) AS noted
                        ON noted.queue = one->>'queue' AND noted.request_type = one->>'type'),
                -- Straight from the index of the queue, as a claim without limits does it.
                straight AS MATERIALIZED (
                    SELECT message.ctid AS place, message.priority, message.id, message.queue, message.request_type,
                        message.alone OR coalesce(message.key_mode = 1, false) AS starts_alone
                    FROM SCHEMA.message WHERE message.state = 0 AND message.queue = only_queue
                        AND message.request_type = ANY (ARRAY(SELECT kind.request_type FROM kind))
                    ORDER BY message.priority, message.id LIMIT most FOR UPDATE SKIP LOCKED),
                searched AS MATERIALIZED (
                    SELECT message.place, front.priority, front.id, front.queue, front.request_type, message.starts_alone
                    FROM (SELECT next.priority, next.id, kind.queue, kind.request_type
                        FROM kind CROSS JOIN LATERAL (
                            (SELECT message.priority, message.id FROM SCHEMA.message
                                WHERE message.state < 1 AND message.limit_key IS NULL AND message.queue = kind.queue
                                    AND message.request_type = kind.request_type ORDER BY message.priority, message.id LIMIT most + 16)
                            UNION ALL
                            (SELECT message.priority, message.id FROM SCHEMA.message
                                WHERE message.state < 1 AND message.limit_key IS NOT NULL AND message.queue = kind.queue
                                    AND message.request_type = kind.request_type ORDER BY message.priority, message.id LIMIT most + 16)
                            ORDER BY 1, 2 LIMIT most + 16) AS next
                        WHERE only_queue IS NULL
                        ORDER BY next.priority, next.id LIMIT most + 16) AS front
                    CROSS JOIN LATERAL (SELECT message.ctid AS place,
                            message.alone OR coalesce(message.key_mode = 1, false) AS starts_alone
                        FROM SCHEMA.message WHERE message.id = front.id AND message.state = 0
                        FOR UPDATE SKIP LOCKED) AS message
                    ORDER BY front.priority, front.id LIMIT most),
                chosen AS (
                    SELECT after.place, after.is_early, CASE WHEN after.is_early THEN kind.early_starts ELSE kind.starts END AS starts
                    FROM (SELECT numbered.*,
                            bool_or(numbered.is_early AND (numbered.starts_alone OR numbered.request_type = ANY (never_ahead)))
                                OVER (ORDER BY numbered.priority, numbered.id) AS waits
                        FROM (SELECT held.*, row_number() OVER (ORDER BY held.priority, held.id) > at_once AS is_early
                            FROM (SELECT * FROM straight UNION ALL SELECT * FROM searched) AS held) AS numbered) AS after
                    JOIN kind ON kind.queue = after.queue AND kind.request_type = after.request_type
                    WHERE NOT after.waits),
                leased AS (
                    UPDATE SCHEMA.message SET state = 2, lease = token, since = moment, ahead = chosen.is_early,
                        lease_ends = moment + message.ttr * interval '1 millisecond', run = NULL, starts = chosen.starts
                    FROM chosen WHERE message.ctid = chosen.place
                    RETURNING message.id, message.queue, message.request_type, message.priority, message.attempts, message.abandoned,
                        message.due_since, message.left_since, message.ttr, message.text, message.ahead, message.alone),
                -- Of what was leased: the place of a message that another transaction has changed
                -- since the look is not found, and the next claim takes it.
                kept AS (
                    INSERT INTO SCHEMA.started AS started(scope, key, at, count, ends)
                    SELECT start.scope, '', start.at, sum(start.count), max(start.at + start.period * interval '1 microsecond')
                    FROM (SELECT rate->>'scope' AS scope, (rate->>'period')::bigint AS period, part.count,
                            (rate->>CASE WHEN part.is_early THEN 'early_at' ELSE 'at' END)::timestamptz AS at
                        FROM (SELECT leased.queue, leased.request_type, leased.ahead AS is_early, count(*) AS count
                            FROM leased GROUP BY 1, 2, 3) AS part
                        JOIN jsonb_array_elements(rates) AS rate
                            ON rate->>'queue' = part.queue AND rate->>'request_type' = part.request_type) AS start
                    GROUP BY start.scope, start.at ORDER BY start.scope, start.at
                    ON CONFLICT (scope, key, at) DO UPDATE SET count = started.count + excluded.count,
                        ends = greatest(started.ends, excluded.ends))
                SELECT leased.id, leased.queue, leased.request_type, leased.attempts, leased.abandoned, leased.due_since,
                    leased.left_since, leased.ttr, leased.text, leased.ahead, leased.alone, NULL::float8, NULL::boolean
                FROM leased ORDER BY leased.priority, leased.id;
            is_done := FOUND;
        END IF;
        IF NOT is_done THEN
            RETURN QUERY SELECT first.*, NULL::float8, NULL::boolean
                FROM SCHEMA.claim_first(kinds, limits, used, at_once, most, token, moment,
                    single_types, single_queues, never_ahead) AS first;
            is_done := FOUND;
        END IF;
        IF is_done THEN
            IF is_rated THEN
                PERFORM SCHEMA.forget_starts(moment);
            END IF;
            RETURN QUERY SELECT NULL::bigint, NULL::text, NULL::text, NULL::integer, NULL::integer, NULL::timestamptz,
                NULL::timestamptz, NULL::bigint, NULL::text, NULL::boolean, NULL::boolean, NULL::float8, false;
            RETURN;
        END IF;
    END IF;

    -- The first messages of each kind that could start if there were no other kind.
    FOR k IN SELECT kind->>'queue' AS queue, kind->>'type' AS type, (kind->>'is_keyed')::boolean AS is_keyed,
            (kind->>'is_limited')::boolean AS is_limited FROM jsonb_array_elements(kinds) AS kind LOOP
        SELECT array_agg(key) AS keys, min(extract(epoch FROM until))::numeric AS wake, bool_or(key = '') AS is_all INTO m
            FROM SCHEMA.held_back WHERE held_back.request_type = k.type AND until > moment
                AND began <= moment + interval '1 minute';
        held_keys := coalesce(m.keys, '{}');
        IF m.wake IS NOT NULL THEN
            used := used || jsonb_build_object('wake', least((used->>'wake')::numeric, m.wake));
        END IF;
        CONTINUE WHEN m.is_all;
        IF NOT coalesce(k.is_keyed, false) AND held_keys = '{}' THEN
            IF k.is_limited THEN
                SELECT * INTO used, room FROM SCHEMA.room(limits, k.queue, k.type, '', false, joins IS NOT NULL, moment, used);
                CONTINUE WHEN room <= 0;
            END IF;
            candidates := candidates || ARRAY(SELECT id FROM ((SELECT priority, id FROM SCHEMA.message
                        WHERE state < 1 AND limit_key IS NULL AND message.queue = k.queue
                            AND message.request_type = k.type ORDER BY priority, id LIMIT most * 4 + 16)
                    UNION ALL (SELECT priority, id FROM SCHEMA.message
                        WHERE state < 1 AND limit_key IS NOT NULL AND message.queue = k.queue
                            AND message.request_type = k.type ORDER BY priority, id LIMIT most * 4 + 16)
                    ORDER BY priority, id LIMIT most * 4 + 16) AS first);
            CONTINUE;
        END IF;
        -- In order, while some of them may start.
        rooms := '{}';
        hits := 0;
        looked := 0;
        FOR m IN (SELECT priority, id, '' AS limit_key FROM SCHEMA.message
                WHERE state < 1 AND message.limit_key IS NULL AND message.queue = k.queue
                    AND message.request_type = k.type ORDER BY priority, id LIMIT greatest(most, 500))
            UNION ALL (SELECT priority, id, message.limit_key FROM SCHEMA.message
                WHERE state < 1 AND message.limit_key IS NOT NULL AND message.queue = k.queue
                    AND message.request_type = k.type ORDER BY priority, id LIMIT greatest(most, 500))
            ORDER BY priority, id LIMIT greatest(most, 500) LOOP
            looked := looked + 1;
            room := (rooms->>m.limit_key)::bigint;
            IF room IS NULL THEN
                IF coalesce(nullif(split_part(m.limit_key, E'\n', 1), ''), split_part(m.limit_key, E'\n', 2))
                    = ANY (held_keys) THEN
                    room := 0;
                ELSE
                    SELECT * INTO used, room FROM SCHEMA.room(limits, k.queue, k.type, m.limit_key, false,
                        joins IS NOT NULL, moment, used);
                END IF;
                rooms := rooms || jsonb_build_object(m.limit_key, room);
            END IF;
            IF room > 0 THEN
                rooms := rooms || jsonb_build_object(m.limit_key, room - 1);
                candidates := candidates || m.id;
                hits := hits + 1;
                EXIT WHEN hits >= most + 16;
            END IF;
        END LOOP;
        CONTINUE WHEN hits > 0 OR looked < greatest(most, 500);
        -- The first ones without a key, if it is not them that must wait.
        IF NOT rooms ? '' THEN
            SELECT * INTO used, room FROM SCHEMA.room(limits, k.queue, k.type, '', false, joins IS NOT NULL, moment, used);
            candidates := candidates || ARRAY(SELECT id FROM SCHEMA.message WHERE state < 1
                AND limit_key IS NULL AND message.queue = k.queue AND message.request_type = k.type
                ORDER BY priority, id LIMIT least(greatest(room, 0), most));
        END IF;
        -- And those of each other key. Keys whose rates are used up are recognised
        -- together: there may be a hundred thousand of them.
        FOR said IN WITH RECURSIVE next(key) AS (
                (SELECT message.limit_key FROM SCHEMA.message WHERE state < 1 AND message.queue = k.queue
                    AND message.request_type = k.type AND message.limit_key IS NOT NULL
                    ORDER BY message.limit_key LIMIT 1)
                UNION ALL
                SELECT (SELECT message.limit_key FROM SCHEMA.message WHERE state < 1 AND message.queue = k.queue
                    AND message.request_type = k.type AND message.limit_key IS NOT NULL AND message.limit_key > next.key
                    ORDER BY message.limit_key LIMIT 1)
                FROM next WHERE next.key IS NOT NULL),
            used_up AS MATERIALIZED (
                SELECT rate.key, max(rate.free_at) AS free_at
                FROM (SELECT started.key, min(started.at) + period * interval '1 microsecond' AS free_at
                    FROM (SELECT place, (one->>'period')::bigint AS period, (one->>'most')::bigint AS cap,
                            ARRAY(SELECT jsonb_array_elements_text(one->'scopes')) AS scopes
                        FROM jsonb_array_elements(limits) WITH ORDINALITY AS counted(one, place)
                        WHERE one->'period' <> 'null' AND (one->>'by_key')::boolean
                            AND coalesce(one->>'queue' = k.queue, one->'types' ? k.type)) AS by_key
                    JOIN SCHEMA.started ON started.scope = ANY (scopes) AND started.count > 0
                        AND started.at > moment - period * interval '1 microsecond'
                        AND started.at <= moment + period * interval '1 microsecond'
                    GROUP BY place, period, cap, started.key HAVING sum(started.count) >= cap) AS rate
                GROUP BY rate.key)
            SELECT next.key, used_up.free_at FROM next
            LEFT JOIN used_up ON used_up.key = split_part(next.key, E'\n', 1) WHERE next.key IS NOT NULL LOOP
            EXIT WHEN hits >= most;
            IF said.free_at IS NOT NULL THEN
                free_at := least(free_at, said.free_at);
                CONTINUE;
            END IF;
            last_key := said.key;
            CONTINUE WHEN rooms ? last_key OR coalesce(nullif(split_part(last_key, E'\n', 1), ''),
                split_part(last_key, E'\n', 2)) = ANY (held_keys);
            SELECT * INTO key_used, room FROM SCHEMA.room(limits, k.queue, k.type, last_key, false,
                joins IS NOT NULL, moment, used);
            -- Counts of thousands of keys are not kept.
            used := used || jsonb_strip_nulls(jsonb_build_object('wake', key_used->'wake', 'runs', key_used->'runs'));
            IF room > 0 THEN
                candidates := candidates || ARRAY(SELECT id FROM SCHEMA.message
                    WHERE state < 1 AND message.queue = k.queue AND message.request_type = k.type AND limit_key = last_key
                    ORDER BY priority, id LIMIT least(room, most));
                hits := hits + least(room, most);
            END IF;
        END LOOP;
        IF free_at IS NOT NULL THEN
            used := used || jsonb_build_object('wake', least((used->>'wake')::numeric, extract(epoch FROM free_at)::numeric));
        END IF;
    END LOOP;

    -- Of them, those that all limits let start together.
    FOR m IN SELECT id, queue, request_type, coalesce(limit_key, '') AS limit_key, alone OR key_mode = 1
            OR request_type = ANY (never_ahead) AS starts_alone
        FROM SCHEMA.message WHERE state = 0 AND id = ANY (candidates) ORDER BY priority, id LOOP
        EXIT WHEN cardinality(picked) >= most;
        is_ahead := cardinality(picked) >= at_once;
        EXIT WHEN is_ahead AND coalesce(m.starts_alone, false);
        CONTINUE WHEN m.request_type = ANY (single_types) AND 'type ' || m.request_type = ANY (singles)
            OR m.queue = ANY (single_queues) AND 'queue ' || m.queue = ANY (singles);
        SELECT * INTO used, room FROM SCHEMA.room(limits, m.queue, m.request_type, m.limit_key, is_ahead,
            joins IS NOT NULL, moment, used);
        CONTINUE WHEN room <= 0;
        -- If another transaction has changed it since, its kind or its key may be
        -- another one.
        PERFORM FROM SCHEMA.message WHERE id = m.id AND state = 0 AND message.queue = m.queue
            AND message.request_type = m.request_type AND coalesce(message.limit_key, '') = m.limit_key
            FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        picked := picked || m.id;
        picked_ahead := picked_ahead || is_ahead;
        singles := singles || ARRAY['type ' || m.request_type, 'queue ' || m.queue];
        FOR said IN SELECT place - 1 AS place, one,
                (place - 1) || ' ' || CASE WHEN NOT (one->>'by_key')::boolean THEN ''
                    WHEN one->'period' = 'null' THEN split_part(m.limit_key, E'\n', 2)
                    ELSE split_part(m.limit_key, E'\n', 1) END AS slot
            FROM jsonb_array_elements(limits) WITH ORDINALITY AS counted(one, place)
            WHERE coalesce(one->>'queue' = m.queue, one->'types' ? m.request_type) LOOP
            IF said.one->'period' <> 'null' THEN
                start_at := SCHEMA.counted_at(moment, is_ahead, (said.one->>'most')::bigint, (said.one->>'period')::bigint);
                start_ids := start_ids || m.id;
                start_scopes := start_scopes || (CASE WHEN said.one->>'queue' IS NULL
                    THEN 'handler ' || m.request_type ELSE 'queue ' || m.queue END
                    || CASE WHEN (said.one->>'by_key')::boolean THEN ' by key' ELSE '' END);
                start_keys := start_keys || substr(said.slot, length(said.place::text) + 2);
                start_periods := start_periods || (said.one->>'period')::bigint;
                start_times := start_times || start_at;
            ELSIF joins IS NOT NULL THEN
                used := used || jsonb_build_object('joins ' || said.slot, true);
                CONTINUE;
            ELSE
                used := used || jsonb_build_object('takes ' || said.place, true);
            END IF;
            used := used || jsonb_build_object(said.slot, coalesce((used->>said.slot)::bigint, 0) + 1);
        END LOOP;
    END LOOP;

    INSERT INTO SCHEMA.started AS started(scope, key, at, count, ends)
        SELECT scope, key, at, count(*), max(at + period * interval '1 microsecond')
        FROM unnest(start_scopes, start_keys, start_periods, start_times) AS start(scope, key, period, at)
        GROUP BY scope, key, at ORDER BY scope, key, at
        ON CONFLICT (scope, key, at) DO UPDATE SET count = started.count + excluded.count,
            ends = greatest(started.ends, excluded.ends);
    IF start_scopes <> '{}' THEN
        PERFORM SCHEMA.forget_starts(moment);
    END IF;
    RETURN QUERY
        WITH leased AS (UPDATE SCHEMA.message SET state = 2, lease = token, since = moment, ahead = chosen.is_ahead,
                lease_ends = moment + message.ttr * interval '1 millisecond', run = joins,
                starts = (SELECT jsonb_agg(jsonb_build_array(scope, key, at))
                    FROM unnest(start_ids, start_scopes, start_keys, start_times) AS start(id, scope, key, at)
                    WHERE start.id = message.id)
            FROM unnest(picked, picked_ahead) AS chosen(id, is_ahead) WHERE message.id = chosen.id
            RETURNING message.*)
        SELECT id, queue, request_type, attempts, abandoned, due_since, left_since, ttr, text, leased.ahead, alone,
            NULL::float8, NULL::boolean
        FROM leased ORDER BY priority, id;
    RETURN QUERY SELECT NULL::bigint, NULL::text, NULL::text, NULL::integer, NULL::integer, NULL::timestamptz,
        NULL::timestamptz, NULL::bigint, NULL::text, NULL::boolean, NULL::boolean,
        CASE WHEN used ? 'wake' THEN greatest((used->>'wake')::float8 - extract(epoch FROM clock_timestamp())::float8, 0) END,
        coalesce((used->>'runs')::boolean, false);
END
$claim_limited$;
