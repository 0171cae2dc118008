mod first {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Send;

    #[pulpo::handler("send")]
    fn send(_: Send) {}
}

mod second {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Send;

    #[pulpo::handler("send")]
    fn send(_: Send) {}
}

fn in_a_function() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Send;

    #[pulpo::handler("send_again", alias = "send")]
    fn send(_: Send) {}
}

fn main() {}

//~ "send" => rename_one_of_the_two
