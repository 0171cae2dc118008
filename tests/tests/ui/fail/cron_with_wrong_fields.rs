#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", cron(*/5 25 * * fun))]
fn job_0(_: Job0) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1", cron = "60 3 * * *")]
fn job_1(_: Job1) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2", cron = "0 3 32 * 8")]
fn job_2(_: Job2) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("job_3", cron(0 17-9 * * *))]
fn job_3(_: Job3) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("job_4", cron(*/0 3 1 * L))]
fn job_4(_: Job4) {}

fn main() {}

//~ 25 => expected hours from 0 to 23, such as `3`, `*/2`, `6,18` or `9-17`, got `25`
//~ fun => expected weekdays from 0 to 7 or from SUN to SAT, such as `1`, `MON-FRI`, `SAT,SUN` or `*`, got `fun`
//~ "60 3 * * *" => expected minutes from 0 to 59, such as `0`, `*/15`, `0,30` or `10-20`, got `60`
//~ "0 3 32 * 8" => expected days of the month from 1 to 31, such as `1`, `*/2`, `1,15` or `*`, got `32`
//~ "0 3 32 * 8" => expected weekdays from 0 to 7 or from SUN to SAT, such as `1`, `MON-FRI`, `SAT,SUN` or `*`, got `8`
//~ 17-9 => expected hours from 0 to 23, such as `3`, `*/2`, `6,18` or `9-17`, got `17-9`: a range goes from the lower to the higher
//~ */0 => expected minutes from 0 to 59, such as `0`, `*/15`, `0,30` or `10-20`, got `*/0`: its step is outside of the field
//~ L => expected weekdays from 0 to 7 or from SUN to SAT, such as `1`, `MON-FRI`, `SAT,SUN` or `*`, got `L`
