#[derive(serde::Serialize, serde::Deserialize)]
struct Send;

#[pulpo::handler("send")]
fn first(_: Send) {}

#[pulpo::handler]
fn second(_: Send) {}

fn main() {}

//~ Send => remove_one_of_the_two
