-- A queue as pulpo 0.1 made it: its worker published, buried, archived and
-- paused here, was killed with a message in hand, and deleted its last message.
-- Written down by the dump of SQLite; read it into an empty file.
PRAGMA application_id = 1886743664;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE archive(
        id INTEGER PRIMARY KEY,
        queue TEXT NOT NULL,
        request_type TEXT NOT NULL,
        outcome TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        enqueued_at INTEGER NOT NULL,
        archived_at INTEGER NOT NULL,
        text TEXT NOT NULL) STRICT;
INSERT INTO "archive" VALUES(1,'side','echo','done',0,1795624924155099,1795624934495356,'{"header":{"request_type":"echo","priority":7,"attempts":0},"body":{"payload":"first"}}');
CREATE TABLE message(
        -- Never used again once deleted, and so unique for ever.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        state INTEGER NOT NULL,
        priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 4294967295),
        -- Times are microseconds since 1970. A delayed message becomes ready
        -- then, a reserved one's lease ends then; else null.
        until INTEGER,
        -- Which delivery has it; null if not reserved.
        lease TEXT,
        -- Milliseconds, up to a thousand years.
        ttr INTEGER NOT NULL CHECK (ttr BETWEEN 1 AND 31556952000000),
        -- Failed runs, and how many of them ended without a word.
        attempts INTEGER NOT NULL DEFAULT 0,
        lost INTEGER NOT NULL DEFAULT 0,
        -- Since when it could have been started.
        due_since INTEGER NOT NULL,
        enqueued_at INTEGER NOT NULL,
        last_error TEXT,
        last_error_at INTEGER,
        request_type TEXT NOT NULL,
        -- The wire form, as it was published.
        text TEXT NOT NULL) STRICT;
INSERT INTO "message" VALUES(2,'side',1,7,1795628524278248,NULL,60000,0,0,1795628524278248,1795624924278322,NULL,NULL,'echo','{"header":{"request_type":"echo","priority":7,"delay":"2026-11-25T17:42:04.278247084Z","attempts":0},"body":{"payload":"delayed"}}');
INSERT INTO "message" VALUES(3,'pulpo',2,65536,1795624938316765,'6ab4336bfee416ef-2',1000,0,0,1795624924595803,1795624924595803,NULL,NULL,'nap','{"header":{"request_type":"nap","priority":65536,"attempts":0},"body":{"payload":600000}}');
INSERT INTO "message" VALUES(4,'side',3,7,NULL,NULL,60000,1,0,1795624934162105,1795624934162105,'a bad word',1795624934495789,'echo','{"header":{"request_type":"echo","priority":7,"attempts":0},"body":{"payload":"bad"}}');
INSERT INTO "message" VALUES(5,'side',0,5,NULL,NULL,60000,0,0,1795624937538017,1795624937538017,NULL,NULL,'echo','{"header":{"request_type":"echo","priority":5,"attempts":0},"body":{"payload":"grüße ☃"}}');
CREATE TABLE pause(
        queue TEXT PRIMARY KEY,
        until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "pause" VALUES('side',1799224937954556);
CREATE INDEX message_ready ON message(queue, priority, id) WHERE state = 0;
CREATE INDEX message_until ON message(until) WHERE until IS NOT NULL;
CREATE INDEX message_buried ON message(id) WHERE state = 3;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('message',6);
COMMIT;
