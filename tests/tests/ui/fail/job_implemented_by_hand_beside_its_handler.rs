#[derive(serde::Serialize, serde::Deserialize)]
struct Invoice;

impl pulpo::Job for Invoice {
    const REQUEST_TYPE: &'static str = "send";
}

#[pulpo::handler]
fn invoice(_: Invoice) {}

fn main() {
    let _ = pulpo::publish(Invoice);
}

//~ impl pulpo::Job for Invoice => USE_THE_ATTRIBUTE_PULPO_HANDLER_OR_DERIVE_PULPO_JOB_INSTEAD
