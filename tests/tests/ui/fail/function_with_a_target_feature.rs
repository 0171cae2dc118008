#[derive(serde::Serialize, serde::Deserialize)]
struct Resize;

#[pulpo::handler("resize")]
#[target_feature(enable = "avx2")]
fn resize(_: Resize) {}

fn main() {
    let _ = pulpo::publish(Resize);
}

//~ #[target_feature(enable = "avx2")] => remove `target_feature`, and put what needs it into a function of its own
