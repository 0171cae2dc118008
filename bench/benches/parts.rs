//! Benchmarks of the small parts: `cargo bench -p pulpo-bench`.

use divan::AllocProfiler;
use pulpo::{Message, Priority};
use pulpo_bench::Email;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn text() -> String {
    text_with(false)
}

/// Returns the message, whose header has the shape of the body or not.
fn text_with(shape: bool) -> String {
    let message = Message::new(Email::numbered(7)).priority(Priority::DEFAULT).header("source", "shop");
    let mut message = serde_json::to_value(message).expect("JSON");
    message["header"]["request_type"] = "send_email".into();
    if shape {
        message["header"]["shape"] = pulpo::__private::shape_id::<Email>().into();
    }
    message.to_string()
}

/// A body with as many numbers as names are given.
macro_rules! numbers {
    ($name:ident: $($field:ident)*) => {
        #[derive(serde::Deserialize)]
        #[allow(dead_code, reason = "only its type matters")]
        struct $name {
            $($field: u64,)*
        }
    };
}

numbers!(Ten: a b c d e f g h i j);
numbers!(Hundred:
    aa ab ac ad ae af ag ah ai aj ba bb bc bd be bf bg bh bi bj ca cb cc cd ce cf cg ch ci cj da db dc dd de df dg dh di dj
    ea eb ec ed ee ef eg eh ei ej fa fb fc fd fe ff fg fh fi fj ga gb gc gd ge gf gg gh gi gj ha hb hc hd he hf hg hh hi hj
    ia ib ic id ie ig ih ii ij ik ja jb jc jd je jf jg jh ji jj);

/// Looks up the shape that each publication writes: what it adds to a publication.
#[divan::bench]
fn look_up_a_shape(bencher: divan::Bencher<'_, '_>) {
    bencher.bench(pulpo::__private::shape_id::<Email>);
}

/// Reads the same message with the shape of its body.
#[divan::bench]
fn read_a_message_with_a_shape(bencher: divan::Bencher<'_, '_>) {
    let text = text_with(true);
    bencher.bench(|| Message::<Email>::from_json(divan::black_box(text.as_bytes())).expect("a message"));
}

/// Traces a body of ten fields, as its first publication in a process does.
#[divan::bench(sample_count = 20)]
fn trace_ten_fields(bencher: divan::Bencher<'_, '_>) {
    bencher.bench(pulpo::__private::traced_shape::<Ten>);
}

/// Traces a body of a hundred fields.
#[divan::bench(sample_count = 20)]
fn trace_a_hundred_fields(bencher: divan::Bencher<'_, '_>) {
    bencher.bench(pulpo::__private::traced_shape::<Hundred>);
}

/// Writes a message with its header and a body of 200 bytes.
#[divan::bench]
fn write_a_message(bencher: divan::Bencher<'_, '_>) {
    bencher.with_inputs(|| Message::new(Email::numbered(7))).bench_refs(|message| message.to_json());
}

/// Reads that message.
#[divan::bench]
fn read_a_message(bencher: divan::Bencher<'_, '_>) {
    let text = text();
    bencher.bench(|| Message::<Email>::from_json(divan::black_box(text.as_bytes())).expect("a message"));
}

/// Reads only the body with serde_json, which is the minimum cost of a read.
#[divan::bench]
fn read_a_body_alone(bencher: divan::Bencher<'_, '_>) {
    let text = serde_json::to_string(&Email::numbered(7)).expect("JSON");
    bencher.bench(|| serde_json::from_str::<Email>(divan::black_box(&text)).expect("a body"));
}

/// Takes a thousand jobs through a lane, without a queue.
#[divan::bench(sample_count = 20)]
fn a_thousand_jobs(bencher: divan::Bencher<'_, '_>) {
    bencher.bench(|| pulpo_bench::nothing::work(1000));
}

/// Finds the handler of a request type.
#[divan::bench]
fn look_up_a_handler(bencher: divan::Bencher<'_, '_>) {
    let registry = pulpo::Registry::collect().expect("a handler");
    bencher.bench_local(|| registry.get(divan::black_box("send_email")).is_some());
}
