//! Leases: how they begin and end, and which processes still live.

pub(super) mod expiry;
pub(super) mod lease;
pub(super) mod process_lock;
