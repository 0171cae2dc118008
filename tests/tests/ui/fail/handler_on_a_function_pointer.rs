#[derive(serde::Serialize, serde::Deserialize)]
struct Ping {
    a: u8,
}

#[pulpo::handler("a")]
static A: fn(Ping) = |ping| drop(ping.a);

#[pulpo::handler("b")]
const B: fn(Ping) = |ping| drop(ping.a);

#[pulpo::handler("c")]
type C = fn(Ping);

fn main() {}

//~ static A => goes on the `fn` that does the job, got `static A`
//~ const B => goes on the `fn` that does the job, got `const B`
//~ type C => goes on the `fn` that does the job, got `type C`
