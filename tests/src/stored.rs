//! Messages written into the tables of the embedded queue without the library: damaged ones, and
//! ones that no program here would publish.

use rusqlite::{Connection, params};

/// Writes a message in this state (0: ready, 3: buried) into the tables, and returns its id.
///
/// # Panics
/// Panics if this fails.
pub fn insert(database: &Connection, queue: &str, request_type: &[u8], state: i64, text: &[u8]) -> i64 {
    let kind = params![queue, request_type];
    let run = |statement: &str, parameters: &[&dyn rusqlite::ToSql]| {
        database.execute(statement, parameters).expect("written");
        database.last_insert_rowid()
    };
    run("INSERT OR IGNORE INTO kind(queue, request_type) VALUES (?1, CAST(?2 AS TEXT))", kind);
    run(
        "UPDATE kind SET ready = ready + (?3 = 0), buried = buried + (?3 = 3)
         WHERE queue = ?1 AND request_type = CAST(?2 AS TEXT)",
        params![queue, request_type, state],
    );
    run(
        "INSERT INTO message(queue, kind, state, priority, ttr, due_since, enqueued_at, since, text)
         SELECT queue, id, ?3, 5, 60000, 0, 0, 0, CAST(?4 AS TEXT) FROM kind
         WHERE queue = ?1 AND request_type = CAST(?2 AS TEXT)",
        params![queue, request_type, state, text],
    )
}

/// Creates a queue of pulpo 0.1 in the file, as its worker left it. Message 1 is archived, 2
/// delayed, 3 leased by a worker that was killed, 4 buried, 5 ready and 6 deleted; the queue `side`
/// is paused.
///
/// # Panics
/// Panics if it cannot be created.
pub fn old_queue(file: &std::path::Path) -> Connection {
    let database = Connection::open(file).expect("opened");
    database.execute_batch("PRAGMA journal_mode = WAL").expect("set");
    database.execute_batch(include_str!("../data/queue-0.1.sql")).expect("read");
    database
}

/// Returns where the files below a folder contain this text.
///
/// # Panics
/// Panics if the folder cannot be read.
#[must_use]
pub fn found(folder: &std::path::Path, text: &str) -> Vec<String> {
    let mut places = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            places.extend(found(&entry, text));
            continue;
        }
        // A file that has just been deleted is read as empty.
        let bytes = std::fs::read(&entry).unwrap_or_default();
        let count = bytes.windows(text.len()).filter(|part| *part == text.as_bytes()).count();
        if count > 0 {
            places.push(format!("{} times in {}", count, entry.display()));
        }
    }
    places
}
