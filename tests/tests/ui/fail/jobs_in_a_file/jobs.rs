#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("send")]
pub struct Send;
