//! What the tests of the whole system share: programs, servers, and ways to
//! trouble them.

pub mod beanstalkd;
pub mod http;
pub mod program;
pub mod proxy;
pub mod python;
pub mod wait;
