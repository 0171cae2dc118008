mod first {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Send;

    #[pulpo::handler("send")]
    fn send(_: Send) {}
}

mod second {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Again;

    #[pulpo::handler("send")]
    async fn send(_: Again) {}
}

fn main() {}

//~ "send" => rename_one_of_the_two
