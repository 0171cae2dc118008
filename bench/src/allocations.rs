//! Prints how many allocations and bytes a job costs, without a queue. It is a separate program,
//! because counting slows down all allocations.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    const JOBS: u64 = 20_000;
    let count = |jobs| {
        let before = ALLOCATOR.stats();
        let _ = pulpo_bench::nothing::work(jobs);
        let after = ALLOCATOR.stats() - before;
        (after.allocations + after.reallocations, after.bytes_allocated)
    };
    let (few, few_bytes) = count(1);
    let (many, many_bytes) = count(JOBS + 1);
    let of_each = |many: usize, few: usize| (many - few) as f64 / JOBS as f64;
    println!("{:.2} {:.0}", of_each(many, few), of_each(many_bytes, few_bytes));
}
