//! What a worker does beside its jobs, on threads of its own.

#[cfg(feature = "http")]
pub(super) mod http;
pub(super) mod relay;
