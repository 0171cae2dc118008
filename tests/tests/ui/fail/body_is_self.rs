struct Mailer;

impl Mailer {
    #[pulpo::handler("send")]
    fn send(_: Self) {}
}

fn main() {}

//~ Self => and a handler cannot stand in an `impl` or a trait: move it out
