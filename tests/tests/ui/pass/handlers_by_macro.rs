//! The attribute within `macro_rules`, its arguments and types as fragments.
#![deny(warnings)]

macro_rules! job {
    ($name:literal, $body:ident, $written:ty, $function:ident, $queue:expr) => {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct $body;

        #[pulpo::handler($name, queue = $queue)]
        fn $function(_: $written) -> pulpo::Outcome {
            Ok(())
        }
    };
}

job!("ping", Ping, Ping, ping, "fast");
job!("report", Report, crate::Report, report, "slow");

fn main() {
    let registry = pulpo::Registry::collect().expect("sound handlers");
    let handler = registry.get("report").expect("a handler");
    assert_eq!(handler.policy().queue, Some("slow"));
    assert_eq!(handler.line(), 17);
}
