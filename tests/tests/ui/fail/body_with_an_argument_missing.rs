#[derive(serde::Serialize, serde::Deserialize)]
struct Wrap<T>(T);

#[pulpo::handler("wrap")]
fn wrap(_: Wrap) {}

fn main() {}

//~ Wrap => help: add missing generic argument
