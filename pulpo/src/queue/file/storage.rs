//! The database file: its folder, its schema and the connections to it; transactions that many callers share.

pub(super) mod busy;
pub(super) mod error;
pub(super) mod file_id;
pub(super) mod folder;
pub(super) mod foreign_log;
pub(super) mod group_commit;
pub(super) mod migrations;
pub(super) mod opened;
pub(super) mod reopening;
pub(super) mod rewrite;
pub(super) mod schema;
pub(super) mod values;
pub(super) mod writer;
