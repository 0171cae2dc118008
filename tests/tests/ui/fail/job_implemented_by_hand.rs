#[derive(serde::Serialize, serde::Deserialize)]
struct Invoice;

impl pulpo::Job for Invoice {
    const REQUEST_TYPE: &'static str = "send";
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Empty;

impl pulpo::Job for Empty {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Wrap<T>(T);

impl<T: pulpo::Body> pulpo::Job for Wrap<T> {
    const REQUEST_TYPE: &'static str = "wrap";
}

fn main() {}

//~ impl pulpo::Job for Invoice => USE_THE_ATTRIBUTE_PULPO_HANDLER_OR_DERIVE_PULPO_JOB_INSTEAD
//~ impl pulpo::Job for Empty => USE_THE_ATTRIBUTE_PULPO_HANDLER_OR_DERIVE_PULPO_JOB_INSTEAD
//~ impl<T: pulpo::Body> pulpo::Job for Wrap<T> => USE_THE_ATTRIBUTE_PULPO_HANDLER_OR_DERIVE_PULPO_JOB_INSTEAD
