mod letters {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, pulpo::Job)]
    #[job("send_letter")]
    pub struct Send;

    #[pulpo::handler]
    fn send(_: Send) {}
}

mod parcels {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, pulpo::Job)]
    #[job("send_parcel")]
    pub struct Send;

    #[pulpo::handler]
    fn send(_: Send) {}

    #[pulpo::handler(batch = 2)]
    fn send_all(_: Vec<Send>) {}
}

fn main() {}

//~ Send => remove_one_of_the_two
