-- The queue, in the schema SCHEMA, which is made before this runs.

-- Which versions of the schema there were. A program works on a schema that is
-- newer than its own, unless its own is below the newest `oldest_program`.
CREATE TABLE SCHEMA.migration(
    version integer PRIMARY KEY,
    oldest_program integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now());

CREATE TABLE SCHEMA.message(
    -- Never used again once deleted, and so unique for ever.
    id bigint GENERATED ALWAYS AS IDENTITY,
    queue text COLLATE "C" NOT NULL,
    request_type text COLLATE "C" NOT NULL,
    -- 0 ready, 1 delayed, 2 reserved, 3 buried.
    state smallint NOT NULL CHECK (state BETWEEN 0 AND 3),
    -- The most urgent first.
    priority bigint NOT NULL CHECK (priority BETWEEN 0 AND 4294967295),
    -- When a delayed message becomes ready; else null.
    due timestamptz,
    -- Which delivery has it, and until when; null if it is not reserved.
    lease text COLLATE "C",
    lease_ends timestamptz,
    -- Whether it was leased before a lane was free for it: nobody knows then
    -- whether it has run, should the process die. After such a death it is
    -- only leased for a lane that waits.
    ahead boolean NOT NULL DEFAULT false,
    alone boolean NOT NULL DEFAULT false,
    -- How long a lease lasts, in milliseconds, up to a thousand years.
    ttr bigint NOT NULL CHECK (ttr BETWEEN 1 AND 31556952000000),
    -- Failed runs, and those of them that ended without being settled.
    attempts integer NOT NULL DEFAULT 0,
    abandoned integer NOT NULL DEFAULT 0,
    -- Since when it could have been started.
    due_since timestamptz NOT NULL DEFAULT now(),
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    -- Since when it is in its state.
    since timestamptz NOT NULL DEFAULT now(),
    -- When a worker first left it to others.
    left_since timestamptz,
    last_error text,
    last_error_at timestamptz,
    -- When somebody cancelled it, of one that is reserved and is to be buried
    -- when that ends; else null.
    cancelled_at timestamptz,
    -- How far its run is, as its handler has said; else null.
    progress double precision,
    progress_text text,
    progress_at timestamptz,
    -- How many of its runs have failed in all, each with a row of `attempt` while
    -- it is one of the last.
    runs integer NOT NULL DEFAULT 0,
    -- Its unique key, which it has or remembers, and for how long a message
    -- keeps it: 0 until it is finished, 1 while it waits, 2 for a time.
    unique_key text COLLATE "C",
    key_mode smallint CHECK (key_mode BETWEEN 0 AND 2),
    -- True if it has the key now; else null.
    holds_key boolean CHECK (holds_key),
    -- When a message with a unique key expires.
    expires timestamptz,
    -- By what limits tell it apart: the key of a rate, a line feed, and the key
    -- of runs at the same time.
    limit_key text COLLATE "C",
    -- The first message of the run that it was leased for; null if that is it.
    run bigint,
    -- The rows of `started` that count its lease; null if there are none.
    starts jsonb,
    -- The wire form, as it was published.
    text text NOT NULL,
    CONSTRAINT message_pkey PRIMARY KEY (id))
WITH (
    -- Rows live for seconds: what they leave behind is to be cleared away by
    -- its number, and not once it is a fifth of the table.
    fillfactor = 85,
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0);

-- What comes next in a queue; and in a request type of it, where others wait.
-- The second in two parts, so that a message without a limit key is found behind
-- any number of messages with one.
CREATE INDEX message_ready ON SCHEMA.message(queue, priority, id) WHERE state = 0;
CREATE INDEX message_ready_type ON SCHEMA.message(queue, request_type, priority, id)
    WHERE state = 0 AND limit_key IS NULL;
CREATE INDEX message_ready_keyed ON SCHEMA.message(queue, request_type, priority, id)
    WHERE state = 0 AND limit_key IS NOT NULL;
CREATE INDEX message_delayed ON SCHEMA.message(due) WHERE state = 1;
-- Without the end of the lease, so that a renewal changes no index.
CREATE INDEX message_leased ON SCHEMA.message(lease) WHERE state = 2;
CREATE INDEX message_buried ON SCHEMA.message(id) WHERE state = 3;
CREATE INDEX message_buried_since ON SCHEMA.message(since) WHERE state = 3;

-- The last failed runs of messages, also of those in the archive. `took` is in
-- microseconds; `worker` is what the token of its lease began with.
CREATE TABLE SCHEMA.attempt(
    message bigint NOT NULL,
    number integer NOT NULL,
    started_at timestamptz NOT NULL,
    took bigint NOT NULL,
    worker text COLLATE "C",
    outcome text NOT NULL,
    error text NOT NULL,
    PRIMARY KEY (message, number));

-- What was done or had expired, if that is to be kept.
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
    -- What its job has come to, as JSON.
    result text,
    text text NOT NULL);
CREATE INDEX archive_at ON SCHEMA.archive(archived_at);

-- The history of a message goes with it, unless it is kept in the archive.
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

-- A queue that hands out nothing before this time.
CREATE TABLE SCHEMA.pause(
    queue text COLLATE "C" PRIMARY KEY,
    until timestamptz NOT NULL);

-- Which rows of outboxes have become which messages, and since when they are
-- known to be gone from there.
CREATE TABLE SCHEMA.outbox_id(
    outbox_id text COLLATE "C" PRIMARY KEY,
    message bigint,
    gone_at timestamptz);
CREATE INDEX outbox_id_gone ON SCHEMA.outbox_id(gone_at) WHERE gone_at IS NOT NULL;

-- An entry of a schedule: a request type, and when it runs unasked.
CREATE TABLE SCHEMA.schedule(
    name text COLLATE "C" NOT NULL,
    entry text COLLATE "C" NOT NULL,
    -- Until when it is settled, and when it is due next.
    settled timestamptz NOT NULL,
    next timestamptz,
    -- The last occurrence that was published, and its message.
    last timestamptz,
    message text COLLATE "C",
    PRIMARY KEY (name, entry));

CREATE TABLE SCHEMA.schedule_pause(
    name text COLLATE "C" PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now());

-- The processes that take messages. One that lives adds to `beat` every other
-- second.
CREATE TABLE SCHEMA.worker(
    id text COLLATE "C" PRIMARY KEY,
    beat bigint NOT NULL DEFAULT 0,
    beat_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz NOT NULL DEFAULT now(),
    -- The session that is closed by the system when the process ends; null
    -- behind a pooler, whose sessions are those of all.
    backend_pid integer,
    backend_start timestamptz,
    host text NOT NULL,
    pid bigint NOT NULL,
    program text NOT NULL) WITH (fillfactor = 50);

-- What the workers of a process say of themselves, as JSON.
CREATE TABLE SCHEMA.worker_report(
    worker text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    report text NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (worker, number));

-- What happened in a step of so many minutes, by queue and request type; and to
-- all, where both are empty.
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
    PRIMARY KEY (step, at, queue, request_type)) WITH (fillfactor = 80);

-- Messages that `publish` has published and that are not in those numbers yet; a
-- worker adds them. Each has a row of its own, so that no transaction of a user
-- waits for another.
CREATE TABLE SCHEMA.uncounted(
    queue text COLLATE "C" NOT NULL,
    request_type text COLLATE "C" NOT NULL)
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- Where the jobs of a request type go, as the last worker that has it said.
CREATE TABLE SCHEMA.route(
    request_type text COLLATE "C" PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    priority bigint NOT NULL,
    ttr bigint NOT NULL,
    declared_at timestamptz NOT NULL DEFAULT now());
