#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

struct Mailer;

impl Mailer {
    #[pulpo::handler("ping")]
    fn ping(&self, _: Ping) {}

    #[pulpo::handler("pong")]
    async fn pong(self, _: Ping) {}
}

fn main() {}

//~ &self => expected a free function as handler, got a method: a worker has no `self` to call it on
//~ self => expected a free function as handler, got a method: a worker has no `self` to call it on
