//! Publish and receive through a nats-server, under criterion: the raw client and ours at every size; wall clock.
//! Latencies need an open loop: `natsbridge-bench latency`.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use natsbridge_bench::nats::{Contestant, NatsServer, PAYLOAD_LENS, round};
use tokio::runtime::Runtime;

fn loops(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("there is a runtime");
    let server = NatsServer::start().expect("there is a nats-server: see scripts/lib/nats.sh");
    let mut group = criterion.benchmark_group("nats/publish-receive");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for len in PAYLOAD_LENS {
        for name in ["raw", "publisher", "send"] {
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(name, len), |bench| {
                let made = runtime.block_on(Contestant::new(name, &server.url(), len));
                let mut made = made.expect("it connects");
                bench.iter_custom(|times| {
                    let begun = Instant::now();
                    runtime.block_on(round(&mut made, times as usize)).expect("every message arrives");
                    begun.elapsed()
                });
            });
        }
    }
    group.finish();
}

fn settings() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}

criterion_group!(name = benches; config = settings(); targets = loops);
criterion_main!(benches);
