//! Every row of the kernel table that this CPU can run; each proves its
//! answer before it is timed. `cargo bench --bench kernels -- tanh` takes the
//! rows whose name holds the word.

#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mlpc_kernels::table::{Setting, rows};
use std::time::{Duration, Instant};

fn kernels(criterion: &mut Criterion) {
    for row in rows().iter().filter(|row| row.available()) {
        for size in row.sizes() {
            let mut work = row.work(size, Setting::default());
            if let Err(mismatch) = work.check() {
                panic!("{} {size}: {mismatch}", row.name());
            }
            let mut group = criterion.benchmark_group(row.name());
            group.throughput(Throughput::Elements(row.amount(size) as u64));
            group.bench_function(size.to_string(), |bencher| {
                bencher.iter_custom(|calls| {
                    if !work.restores() {
                        return timed(calls, || work.run());
                    }
                    // Restoring the inputs is timed too, and taken off.
                    let both = timed(calls, || {
                        work.restore();
                        work.run();
                    });
                    both.saturating_sub(timed(calls, || work.restore()))
                        .max(Duration::from_nanos(1))
                });
            });
            group.finish();
        }
    }
}

fn timed(calls: u64, mut call: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        call();
    }
    start.elapsed()
}

criterion_group!(benches, kernels);
criterion_main!(benches);
