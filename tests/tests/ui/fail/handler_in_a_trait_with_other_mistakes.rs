#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

trait Mailer {
    #[pulpo::handler("ping", quee = "mail")]
    unsafe fn ping(_: Ping) {}
}

struct Post;

impl Mailer for Post {
    #[pulpo::handler("ping", ttr = 60)]
    unsafe fn ping(_: Ping) {}
}

fn main() {}

//~ quee => did you mean `queue`?; and a handler cannot stand in an `impl` or a trait: move it out
//~ unsafe => remove `unsafe`
//~ 60 => and a handler cannot stand in an `impl` or a trait: move it out
//~ unsafe => remove `unsafe`
