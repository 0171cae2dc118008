//! The queues on which tests of processes run.

/// Runs each of these tests on the embedded queue and on a beanstalkd.
macro_rules! on_each_queue {
    ($($test:ident)*) => {
        mod on_the_embedded_queue {
            $(#[test] fn $test() { super::$test(&super::Sandbox::new()); })*
        }
        mod on_postgresql {
            $(#[test] fn $test() { super::$test(&super::Sandbox::with_postgres()); })*
        }
        mod on_beanstalkd {
            $(#[test] fn $test() { super::$test(&super::Sandbox::with_beanstalkd()); })*
        }
    };
}
