#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", cron = "0 3 31 2,4 *")]
fn job_0(_: Job0) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1", cron(0 3 30 FEB *))]
fn job_1(_: Job1) {}

fn main() {}

//~ "0 3 31 2,4 *" => expected a day that its month has, got day `31` of month `2,4`, which never comes
//~ 30 FEB => expected a day that its month has, got day `30` of month `FEB`, which never comes
