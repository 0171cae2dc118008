mod letters {
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("send_letter")]
    pub struct Send;

    #[pulpo::handler]
    fn send(_: Send) {}
}

mod parcels {
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("send_parcel")]
    pub struct Send;

    #[pulpo::handler]
    fn send(_: Send) {}

    mod more {
        #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
        #[job("send_more")]
        pub struct Send;

        #[cfg(all())]
        #[pulpo::handler]
        fn send(_: Send) {}

        #[cfg(any())]
        #[pulpo::handler]
        fn send(_: Send) {}
    }
}

fn main() {}
