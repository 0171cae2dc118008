#[pulpo::handler("job_0")]
fn job_0(_: std::time::Duration) {}

#[pulpo::handler("job_1")]
fn job_1(_: String) {}

#[pulpo::handler("job_2")]
fn job_2(_: u64) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("job_3")]
fn job_3(_: Option<Job3>) {}

#[pulpo::handler("job_4")]
fn job_4(_: std::collections::HashMap<String, u8>) {}

#[pulpo::handler("job_5")]
fn job_5(_: [u8; 4]) {}

#[pulpo::handler("job_6")]
fn job_6(_: std::path::PathBuf) {}

#[pulpo::handler("job_7")]
fn job_7(_: Box<str>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job8;

#[pulpo::handler("job_8")]
fn job_8(_: (Job8, Job8)) {}

#[pulpo::handler("job_9")]
fn job_9(_: ()) {}

#[pulpo::handler("job_10")]
fn job_10(_: std::sync::Arc<[u8]>) {}

#[pulpo::handler("job_11")]
fn job_11(_: &str) {}

fn main() {}

//~ std::time::Duration => wrap it in one, `struct Name(std::time::Duration);`
//~ String => wrap it in one, `struct Name(String);`
//~ u64 => wrap it in one, `struct Name(u64);`
//~ Option<Job3> => wrap it in one, `struct Name(Option<Job3>);`
//~ std::collections::HashMap<String, u8> => wrap it in one, `struct Name(std::collections::HashMap<String, u8>);`
//~ [u8; 4] => wrap it in one, `struct Name([u8; 4]);`
//~ std::path::PathBuf => wrap it in one, `struct Name(std::path::PathBuf);`
//~ Box<str> => wrap it in one, `struct Name(Box<str>);`
//~ (Job8, Job8) => wrap it in one, `struct Name((Job8, Job8));`
//~ () => write `struct Name;`
//~ std::sync::Arc<[u8]> => wrap it in one, `struct Name(std::sync::Arc<[u8]>);`
//~ &str => wrap it in one, `struct Name(String);`
