#[allow(non_camel_case_types)]
#[derive(serde::Serialize, serde::Deserialize)]
struct r#type {
    r#in: u8,
}

#[pulpo::handler("a", r#quee = "mail")]
fn r#match(r#fn: r#type) {
    let _ = r#fn.r#in;
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Other {
    r#in: u8,
}

#[pulpo::handler("b", unique(r#inn))]
fn r#loop(other: Other) -> pulpo::Outcome {
    let _ = other.r#in;
    Ok(())
}

fn main() {}

//~ r#quee => did you mean `queue`?
//~ r#inn => unknown field
