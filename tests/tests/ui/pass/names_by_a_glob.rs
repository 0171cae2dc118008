//! Types of the user's with names of std's and of pulpo's, which a glob brings from another file.

#[path = "names_by_a_glob/models.rs"]
mod models;

mod jobs {
    use super::models::*;

    #[pulpo::handler("duration")]
    fn duration(_: Duration) {}

    #[pulpo::handler("message")]
    fn message(_: Message<u8>) {}

    #[pulpo::handler("state")]
    fn state(_: State<u8>, _: pulpo::State<u8>) {}

    #[pulpo::handler("result")]
    fn result(_: Result) {}

    #[pulpo::handler("context")]
    fn context(_: Context, _: &pulpo::Context) {}

    #[pulpo::handler("map", batch = 2)]
    fn map(_: Vec<HashMap>) {}
}

fn main() {
    assert_eq!(pulpo::Registry::collect().map_or(0, |all| all.iter().count()), 6);
}
