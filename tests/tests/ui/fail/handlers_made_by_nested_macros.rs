#[derive(serde::Serialize, serde::Deserialize)]
struct Ping {
    a: u8,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Pong {
    a: u8,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Pung {
    a: u8,
}

macro_rules! inner {
    ($(#[$attribute:meta])* $name:ident: $body:ty) => {
        $(#[$attribute])*
        fn $name(job: $body) {
            let _ = job.a;
        }
    };
}

macro_rules! outer {
    ($name:ident: $body:ty) => {
        inner! {
            #[pulpo::handler("a", priority = "1")]
            $name: $body
        }
    };
}

outer!(a: Ping);

macro_rules! all {
    ($($name:ident: $body:ty => $request_type:literal;)*) => {
        $(
            #[pulpo::handler($request_type)]
            fn $name(job: $body) {
                let _ = job.a;
            }
        )*
    };
}

all! {
    b: Pong => "b b";
    c: &'static Pung => "c";
}

fn main() {}

//~ "1" => write 1 without the quotes
//~ "b b" => got ' ' in
//~ $body => expected the body by value, got a reference
