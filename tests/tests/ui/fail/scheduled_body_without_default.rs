#[derive(serde::Serialize, serde::Deserialize)]
struct Report {
    pages: u32,
}

#[pulpo::handler("report", cron = "0 3 * * MON-FRI")]
fn report(_: Report) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Sweep;

#[pulpo::handler("sweep", every = "5m", batch = 10)]
fn sweep(_: Vec<Sweep>) {}

fn main() {}

//~ Report => it needs a default: `#[derive(Default)]`
//~ Sweep => it needs a default: `#[derive(Default)]`
