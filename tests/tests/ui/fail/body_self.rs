struct Mailer;

impl Mailer {
    #[pulpo::handler("send")]
    fn send(_: Self) {}
}

fn main() {}

//~ send => consider moving the implementation out to a nearby module scope
