use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", max_atempts = 5, colour = "red")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ max_atempts => did you mean `max_attempts`?
//~ colour => unknown argument `colour`: expected one of queue, priority, max_attempts, backoff, ttr, timeout, unique, unique_for, on_duplicate, rate, limit, rate_by, limit_by, batch, linger, cron, every, tz, missed, overlap, alias, crate
