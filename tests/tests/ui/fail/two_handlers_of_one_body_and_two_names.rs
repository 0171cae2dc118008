#[derive(serde::Serialize, serde::Deserialize)]
struct Send;

#[pulpo::handler("send")]
fn first(_: Send) {}

#[pulpo::handler("mail")]
fn second(_: Send) {}

fn main() {}

//~ Send
