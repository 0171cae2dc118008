-- The queue. The schema SCHEMA is created before this runs.

-- The versions that were applied. A program works on a schema that is newer than
-- its own version, unless its own version is below the newest `oldest_program`.
CREATE TABLE SCHEMA.migration(
    version integer PRIMARY KEY,
    oldest_program integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now());

-- Only pulpo writes to it, so it has no checks: five of them would take a quarter of
-- the processor time of a publication.
CREATE TABLE SCHEMA.message(
    -- Never used again after the message is deleted.
    id bigint GENERATED ALWAYS AS IDENTITY,
    queue text COLLATE "C" NOT NULL,
    request_type text COLLATE "C" NOT NULL,
    -- 0 ready, 1 delayed, 2 reserved, 3 buried.
    state smallint NOT NULL,
    -- 0 is the most urgent, 4294967295 the least.
    priority bigint NOT NULL,
    -- When a delayed message becomes ready; otherwise null.
    due timestamptz,
    -- The token and the end of the lease; null if it is not reserved.
    lease text COLLATE "C",
    lease_ends timestamptz,
    -- `ahead`: it was leased before a lane was free for it, so if the process
    -- dies, there is no record whether it has run. `alone`: there was such a
    -- death, and it is leased only for a waiting lane.
    ahead boolean NOT NULL DEFAULT false,
    alone boolean NOT NULL DEFAULT false,
    -- The length of a lease in milliseconds, up to a thousand years.
    ttr bigint NOT NULL,
    -- The number of failed runs, and of those that ended without a settlement.
    attempts integer NOT NULL DEFAULT 0,
    abandoned integer NOT NULL DEFAULT 0,
    -- When it could first have been started.
    due_since timestamptz NOT NULL DEFAULT now(),
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    -- When it entered its state.
    since timestamptz NOT NULL DEFAULT now(),
    -- When a worker first left it to others.
    left_since timestamptz,
    last_error text,
    last_error_at timestamptz,
    -- When it was cancelled, if it is reserved: it is buried when the lease ends.
    cancelled_at timestamptz,
    -- The progress that its handler has reported; otherwise null.
    progress double precision,
    progress_text text,
    progress_at timestamptz,
    -- The number of failed runs in all. The last ones have rows in `attempt`.
    runs integer NOT NULL DEFAULT 0,
    -- The unique key that it holds or remembers, and for how long a message holds
    -- it: 0 until it is finished, 1 while it waits, 2 for a fixed time.
    unique_key text COLLATE "C",
    key_mode smallint,
    -- True if it holds the key now; otherwise null.
    holds_key boolean,
    -- When a message with a unique key expires.
    expires timestamptz,
    -- Its keys for limits: that of rates, a line feed, and that of limits of
    -- concurrent runs.
    limit_key text COLLATE "C",
    -- The first message of the batch that it was leased for; null if it is that
    -- message.
    run bigint,
    -- Where `started` counts its lease; otherwise null.
    starts jsonb,
    -- The wire form, as it was published.
    text text NOT NULL,
    CONSTRAINT message_pkey PRIMARY KEY (id))
WITH (
    -- Rows live for seconds, so vacuum must come early: not only once a fifth of
    -- the table is dead.
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0);

-- The next messages of a queue, and the next ones of each request type. The second
-- index is in two parts, so that a message without a limit key is found behind any
-- number of messages with one. Its condition is another one than that of the first,
-- though only ready messages fulfil either: a statement that says `state < 1` cannot
-- use the first index. Otherwise it might, if the statistics of the table are old, and
-- then walk over all messages of the queue to find the next one of a type. No two
-- entries are alike, so looking for duplicates would be for nothing.
CREATE INDEX message_ready ON SCHEMA.message(queue, priority, id) WITH (deduplicate_items = off)
    WHERE state = 0;
CREATE INDEX message_ready_type ON SCHEMA.message(queue, request_type, priority, id)
    WITH (deduplicate_items = off) WHERE state < 1 AND limit_key IS NULL;
CREATE INDEX message_ready_keyed ON SCHEMA.message(queue, request_type, priority, id)
    WITH (deduplicate_items = off) WHERE state < 1 AND limit_key IS NOT NULL;
CREATE INDEX message_delayed ON SCHEMA.message(due) WHERE state = 1;
-- It leaves out the end of the lease, so that a renewal changes no index.
CREATE INDEX message_leased ON SCHEMA.message(lease) WHERE state = 2;
CREATE INDEX message_buried ON SCHEMA.message(id) WHERE state = 3;
CREATE INDEX message_buried_since ON SCHEMA.message(since) WHERE state = 3;

-- The last failed runs of messages, including those in the archive. `took` is in
-- microseconds; `worker` is the beginning of the token of its lease.
CREATE TABLE SCHEMA.attempt(
    message bigint NOT NULL,
    number integer NOT NULL,
    started_at timestamptz NOT NULL,
    took bigint NOT NULL,
    worker text COLLATE "C",
    outcome text NOT NULL,
    error text NOT NULL,
    PRIMARY KEY (message, number));

-- Messages that are done or have expired, if they are kept.
CREATE TABLE SCHEMA.archive(
    id bigint PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    request_type text COLLATE "C" NOT NULL,
    outcome text NOT NULL,
    attempts integer NOT NULL,
    enqueued_at timestamptz NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now(),
    priority bigint NOT NULL,
    abandoned integer NOT NULL,
    -- The result of its job, as JSON.
    result text,
    text text NOT NULL);
CREATE INDEX archive_at ON SCHEMA.archive(archived_at);

-- Deletes the history of a message with it, unless it is kept in the archive.
CREATE FUNCTION SCHEMA.forget_history() RETURNS trigger LANGUAGE plpgsql AS $forget$
BEGIN
    DELETE FROM SCHEMA.attempt WHERE attempt.message = OLD.id
        AND NOT EXISTS (SELECT FROM SCHEMA.archive WHERE archive.id = OLD.id);
    RETURN NULL;
END
$forget$;
CREATE TRIGGER message_has_gone AFTER DELETE ON SCHEMA.message
    FOR EACH ROW WHEN (OLD.runs > 0) EXECUTE FUNCTION SCHEMA.forget_history();
CREATE FUNCTION SCHEMA.forget_done() RETURNS trigger LANGUAGE plpgsql AS $forget$
BEGIN
    DELETE FROM SCHEMA.attempt WHERE attempt.message = OLD.id;
    RETURN NULL;
END
$forget$;
CREATE TRIGGER done_has_gone AFTER DELETE ON SCHEMA.archive
    FOR EACH ROW EXECUTE FUNCTION SCHEMA.forget_done();

-- Paused queues, which hand out nothing before this time.
CREATE TABLE SCHEMA.pause(
    queue text COLLATE "C" PRIMARY KEY,
    until timestamptz NOT NULL);

-- The messages that rows of outboxes have become, and when each row was deleted
-- from its outbox.
CREATE TABLE SCHEMA.outbox_id(
    outbox_id text COLLATE "C" PRIMARY KEY,
    message bigint,
    gone_at timestamptz);
CREATE INDEX outbox_id_gone ON SCHEMA.outbox_id(gone_at) WHERE gone_at IS NOT NULL;

-- The entries of schedules. `name` is the request type.
CREATE TABLE SCHEMA.schedule(
    name text COLLATE "C" NOT NULL,
    entry text COLLATE "C" NOT NULL,
    -- All occurrences until `settled` are dealt with; `next` is the one after that.
    settled timestamptz NOT NULL,
    next timestamptz,
    -- The last occurrence that was published, and its message.
    last timestamptz,
    message text COLLATE "C",
    PRIMARY KEY (name, entry));

CREATE TABLE SCHEMA.schedule_pause(
    name text COLLATE "C" PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now());

-- The processes that take messages. Each increments its `beat` every two seconds.
CREATE TABLE SCHEMA.worker(
    id text COLLATE "C" PRIMARY KEY,
    beat bigint NOT NULL DEFAULT 0,
    beat_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz NOT NULL DEFAULT now(),
    -- The session, which the system closes when the process ends; null behind a
    -- pooler, which shares its sessions.
    backend_pid integer,
    backend_start timestamptz,
    host text NOT NULL,
    pid bigint NOT NULL,
    program text NOT NULL) WITH (fillfactor = 50);

-- The reports of the workers of a process, as JSON.
CREATE TABLE SCHEMA.worker_report(
    worker text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    report text NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (worker, number));

-- The numbers over time: events in steps of this many minutes, by queue and request
-- type. If both are empty, the sum of all.
CREATE TABLE SCHEMA.activity(
    step integer NOT NULL,
    at timestamptz NOT NULL,
    queue text COLLATE "C" NOT NULL,
    request_type text COLLATE "C" NOT NULL,
    published bigint NOT NULL,
    done bigint NOT NULL,
    failed bigint NOT NULL,
    buried bigint NOT NULL,
    expired bigint NOT NULL,
    -- Of all together, at the end of the step: how many messages were ready, and
    -- since when the oldest of them was.
    waiting bigint,
    oldest_ready timestamptz,
    PRIMARY KEY (step, at, queue, request_type)) WITH (fillfactor = 80);

-- Messages that `publish` has published and that are not in those numbers yet; a
-- worker adds them. Each has a row of its own, so that no transaction of a user
-- waits for another.
CREATE TABLE SCHEMA.uncounted(
    queue text COLLATE "C" NOT NULL,
    request_type text COLLATE "C" NOT NULL)
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- The route of each request type, from the last worker that has a handler for it.
CREATE TABLE SCHEMA.route(
    request_type text COLLATE "C" PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    priority bigint NOT NULL,
    ttr bigint NOT NULL,
    declared_at timestamptz NOT NULL DEFAULT now());
