#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", crate = "pulpo")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", crate = pulpo::<u8>)]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", crate = 5)]
fn job_2(_: Job2) {}

fn main() {}

//~ "pulpo" => expected the path of the crate pulpo such as `::pulpo`, without quotes, got `"pulpo"`
//~ pulpo::<u8> => expected the path of the crate pulpo such as `::pulpo`, without quotes, got `pulpo ::< u8 >`
//~ 5 => expected the path of the crate pulpo such as `::pulpo`, without quotes, got `5`
