#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
fn job_0(_: Job0, _: pulpo::State<std::rc::Rc<u8>>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1")]
fn job_1(_: Job1, _: pulpo::State<Box<dyn std::fmt::Debug>>) {}

fn main() {}

//~ pulpo::State<std::rc::Rc<u8>> => expected a type that is `Send`, `Sync` and `'static`
//~ pulpo::State<Box<dyn std::fmt::Debug>> => expected a type that is `Send`, `Sync` and `'static`
