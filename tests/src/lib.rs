//! What the tests share: servers, and ways to trouble them.

pub mod beanstalkd;
pub mod proxy;
