//! Uploads to and downloads from the embedded file server, under criterion: in this process, and in another one over
//! the loopback; wall clock.

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use natsbridge::fileserver::FileServer;
use natsbridge::link::{Expected, FetchOptions, LinkStore, LinkUrl, Plik, Upload, fetch};
use natsbridge_bench::input::random_bytes;
use natsbridge_bench::links::FileServerProcess;
use tokio::runtime::Runtime;

const SIZES: [(&str, usize); 3] = [("64KiB", 64 << 10), ("1MiB", 1 << 20), ("16MiB", 16 << 20)];

async fn upload(store: &Plik, bytes: &Bytes) -> LinkUrl {
    let uploaded = store.upload(Upload::new("file.bin", bytes.clone())).await.expect("the server takes it");
    let url = uploaded.url().clone();
    store.delete(uploaded.handle()).await.expect("the server deletes it");
    url
}

fn transfers(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("there is a runtime");
    let inside = runtime.block_on(FileServer::builder().start()).expect("a port is free");
    let folder = std::env::temp_dir().join(format!("natsbridge-bench-links-{}", std::process::id()));
    let program = env!("CARGO_BIN_EXE_natsbridge-bench");
    let outside = FileServerProcess::start_program(program.as_ref(), &folder).expect("a port is free");
    for (place, url) in [("in-process", inside.url()), ("loopback", outside.url())] {
        let store = Plik::new(url).expect("it is a URL");
        for operation in ["upload", "download"] {
            let mut group = criterion.benchmark_group(format!("link/{operation}"));
            group.sample_size(10).sampling_mode(SamplingMode::Flat);
            for (size, len) in SIZES {
                let bytes = Bytes::from(random_bytes(len, 3));
                group.throughput(Throughput::Bytes(len as u64));
                group.bench_function(BenchmarkId::new(place, size), |bench| {
                    if operation == "upload" {
                        bench.iter_custom(|times| {
                            let begun = Instant::now();
                            for _ in 0..times {
                                runtime.block_on(upload(&store, &bytes));
                            }
                            begun.elapsed()
                        });
                        return;
                    }
                    let kept = runtime.block_on(store.upload(Upload::new("file.bin", bytes.clone())));
                    let kept = kept.expect("the server takes it");
                    let (expected, options) = (Expected::nothing().size(len as u64), FetchOptions::default());
                    let get = || runtime.block_on(fetch(&store, kept.url(), &expected, &options));
                    assert_eq!(get().expect("it is there").bytes, bytes);
                    bench.iter(|| get().expect("it is there").bytes.len());
                });
            }
            group.finish();
        }
    }
    drop(outside);
    let _ = std::fs::remove_dir_all(folder);
}

fn settings() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}

criterion_group!(name = benches; config = settings(); targets = transfers);
criterion_main!(benches);
