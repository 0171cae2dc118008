mod types {
    pub mod mail {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub struct Letter;
    }

    pub mod post {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub struct Parcel;
    }
}

mod first {
    use super::types::mail::Letter as Send;

    #[pulpo::handler("send")]
    fn send(_: Send) {}
}

mod second {
    use super::types::post::Parcel as Send;

    #[pulpo::handler("send")]
    fn send(_: Send) {}
}

fn main() {}

//~ "send" => rename_one_of_the_two
