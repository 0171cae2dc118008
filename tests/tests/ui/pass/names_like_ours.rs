//! Functions and types of the user's may have any name, also one of std's, of
//! pulpo's, or of what the macros add.

mod bodies {
    mod plain {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Result;

        #[pulpo::handler("result")]
        fn result(_: Result) {}

        #[derive(serde::Serialize, serde::Deserialize)]
        struct Context;

        #[pulpo::handler("context")]
        fn context(_: Context, _: &pulpo::Context) {}

        #[derive(serde::Serialize, serde::Deserialize)]
        struct String;

        #[pulpo::handler("string")]
        fn string(_: String) {}

        #[derive(serde::Serialize, serde::Deserialize)]
        enum Duration {
            Long,
        }

        #[pulpo::handler("duration")]
        fn duration(_: Duration) {}

        #[derive(serde::Serialize, serde::Deserialize)]
        struct __Handler;

        #[pulpo::handler("handler")]
        fn __pulpo_entry(_: __Handler) {}
    }

    mod generic {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct State<T>(T);

        #[pulpo::handler("state")]
        fn state(_: State<u8>, _: pulpo::State<u8>) {}

        #[derive(serde::Serialize, serde::Deserialize)]
        struct Message<T>(T);

        #[pulpo::handler("message")]
        fn message(_: Message<u8>) {}

        #[derive(serde::Serialize, serde::Deserialize)]
        struct Box<T>(T);

        #[pulpo::handler("box")]
        fn boxed(_: Box<u8>) {}

        #[derive(serde::Serialize, serde::Deserialize)]
        struct Vec<T>(T);

        #[pulpo::handler("vec")]
        fn vec(_: Vec<u8>) {}
    }

    mod imported {
        use super::super::elsewhere::State;

        #[pulpo::handler("imported")]
        fn imported(_: State<u16>) {}
    }
}

mod elsewhere {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct State<T>(pub T);
}

mod functions {
    macro_rules! handler {
        ($($body:ident $name:ident $request_type:literal)*) => {
            $(#[derive(serde::Serialize, serde::Deserialize)]
            struct $body;

            #[pulpo::handler($request_type)]
            fn $name(_: $body) {})*
        };
    }

    handler! {
        A __run "a" B __body "b" C run "c" D body "d" E handler "e" F outcome "f" G main "g" H r#type "h"
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Last;

#[pulpo::handler("last")]
async fn __body(_: Last, _: pulpo::State<u8>) {}

fn main() {
    assert_eq!(pulpo::Registry::collect().map_or(0, |all| all.iter().count()), 19);
}
