#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping", retries = 5, tube = "mail", expires = "5m", timeout = 5m)]
struct Ping;

fn main() {}

//~ retries => write `max_attempts = 5`
//~ tube => write `queue = "mail"`
//~ expires => each message has its own: publish `pulpo::Message::new(body).expiration(…)`
//~ 5m => write "5m"
