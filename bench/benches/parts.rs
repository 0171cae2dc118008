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
    let message = Message::new(Email::numbered(7)).priority(Priority::DEFAULT).header("source", "shop");
    let mut message = serde_json::to_value(message).expect("JSON");
    message["header"]["request_type"] = "send_email".into();
    message.to_string()
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
