//! Every scenario and contestant under criterion, with its statistics and plots; wall clock.
//!
//! ```text
//! cargo bench -p natsbridge-bench --bench scenarios -- envelope/encode     a part of them
//! cargo bench -p natsbridge-bench --bench scenarios -- --test              everything once, untimed
//! ```
//! The plots are in `target/criterion/report/index.html`. Criterion measures one contestant after the other, so its
//! figures are for a look at one of them; ratios come from `natsbridge-bench`, where they take turns.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use natsbridge_bench::scenarios;

fn all(criterion: &mut Criterion) {
    for scenario in scenarios::all() {
        let Some((group, size)) = scenario.name.rsplit_once('/') else { continue };
        let mut group = criterion.benchmark_group(group);
        if scenario.bytes > 0 {
            group.throughput(Throughput::Bytes(scenario.bytes));
        }
        if scenario.bytes > 1 << 20 {
            group.sample_size(10).sampling_mode(SamplingMode::Flat);
        }
        for contestant in scenario.names() {
            group.bench_function(BenchmarkId::new(&contestant, size), |bench| {
                // Made here, so that what a filter leaves out costs nothing.
                let mut made = scenario.checked(|name| name == contestant).expect("the answer is right");
                let made = made.first_mut().expect("it is one of the names");
                bench.iter_custom(|times| {
                    let begun = Instant::now();
                    made.run(times);
                    begun.elapsed()
                });
            });
        }
        group.finish();
    }
}

fn settings() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1))
}

criterion_group!(name = benches; config = settings(); targets = all);
criterion_main!(benches);
