use std::borrow::Cow;

#[derive(serde::Serialize, serde::Deserialize)]
struct Text<'a>(Cow<'a, str>);

#[pulpo::handler("text")]
fn text(_: Text<'_>) {}

#[pulpo::handler("words")]
fn words<'a>(_: Text<'a>) {}

fn main() {}

//~ '_ => expected a body that owns its content, got the lifetime `'_`: the message is gone when the job runs
//~ <'a> => expected a handler without lifetimes: take the body by value, of a type that owns its content
