//! Request and reply: how long an answer takes, raw and ours, at a rate that does not depend on the answers.
//!
//! Open loop: requests are due at fixed times, and each one's latency counts from when it was due, not from when it
//! was sent. A stall therefore shows in every request that had to wait behind it (coordinated omission is what the
//! other way round is called). The two take turns, segment by segment, through the same server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use hdrhistogram::Histogram;
use natsbridge::Bridge;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{BoxError, NatsServer, body, payload};

/// The size of the message as it is called, the payload's, and requests a second: about a tenth of what a closed loop
/// reaches on two cores.
pub const LOADS: [(&str, usize, u32); 3] =
    [("678B", 64, 1000), ("22K", 16 << 10, 500), ("683K", 512 << 10, 20)];

/// The percentiles that are shown.
pub const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

const SUBJECT: &str = "bench.latency";
/// How many times each takes its turn.
const SEGMENTS: usize = 4;

/// The latencies of one contestant at one load.
#[derive(Debug)]
#[non_exhaustive]
pub struct Latency {
    /// `raw` or `natsbridge`.
    pub contestant: &'static str,
    /// The size of the message, as it is called.
    pub size: &'static str,
    /// Requests a second.
    pub rate: u32,
    /// Requests.
    pub count: u64,
    /// Microseconds at each of [`PERCENTILES`].
    pub micros: [f64; PERCENTILES.len()],
}

/// Measures both contestants at every load.
///
/// # Errors
/// There is no nats-server, or a request is not answered.
#[tokio::main(worker_threads = 2)]
pub async fn measure(segment: Duration) -> Result<Vec<Latency>, BoxError> {
    let server = NatsServer::start()?;
    let url = server.url();
    let mut all = Vec::new();
    for (size, len, rate) in LOADS {
        let raw = Arc::new(Raw::new(&url, len).await?);
        let own = Arc::new(Own::new(&url, len).await?);
        let mut histograms = [Histogram::<u64>::new(3)?, Histogram::<u64>::new(3)?];
        for turn in 0..=SEGMENTS {
            let (one, other) = (Arc::clone(&raw), Arc::clone(&own));
            let segments = [
                paced(rate, segment, move || one.request()).await?,
                paced(rate, segment, move || other.request()).await?,
            ];
            // The first turn warms up.
            for (histogram, latencies) in histograms.iter_mut().zip(segments) {
                for latency in latencies.into_iter().filter(|_| turn > 0) {
                    histogram.record(latency.as_nanos() as u64)?;
                }
            }
        }
        for (contestant, histogram) in ["raw", "natsbridge"].into_iter().zip(histograms) {
            let micros = PERCENTILES.map(|at| histogram.value_at_percentile(at) as f64 / 1000.0);
            all.push(Latency { contestant, size, rate, count: histogram.len(), micros });
        }
    }
    Ok(all)
}

/// Starts a request whenever one is due, whether or not the ones before it were answered.
async fn paced<F>(
    rate: u32,
    length: Duration,
    request: impl Fn() -> F + Send + 'static,
) -> Result<Vec<Duration>, BoxError>
where
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let count = (length.as_secs_f64() * f64::from(rate)).ceil() as u32;
    let gap = Duration::from_secs(1) / rate;
    let (sender, mut answers) = mpsc::unbounded_channel();
    let runtime = Handle::current();
    // A thread of its own: the runtime's timers are good for a millisecond, a sleeping thread for a twentieth of it.
    let pacing = std::thread::spawn(move || {
        let begun = Instant::now() + Duration::from_millis(5);
        for n in 0..count {
            let due = begun + gap * n;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let (work, sender) = (request(), sender.clone());
            runtime.spawn(async move {
                let answered = work.await;
                let _ = sender.send(answered.map(|()| due.elapsed()));
            });
        }
    });
    let mut latencies = Vec::with_capacity(count as usize);
    while let Some(latency) = answers.recv().await {
        latencies.push(latency?);
    }
    pacing.join().map_err(|_| "the pacing thread is gone")?;
    Ok(latencies)
}

/// The raw client, with messages that are ready.
struct Raw {
    client: async_nats::Client,
    body: Bytes,
    responder: JoinHandle<()>,
}

impl Raw {
    async fn new(url: &str, len: usize) -> Result<Self, BoxError> {
        let body = body(&payload(len), url);
        let answering = async_nats::connect(url).await?;
        let mut requests = answering.subscribe(format!("{SUBJECT}.raw")).await?;
        answering.flush().await?;
        let responder = tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                if let Some(reply) = request.reply {
                    let _ = answering.publish(reply, request.payload).await;
                }
            }
        });
        Ok(Self { client: async_nats::connect(url).await?, body, responder })
    }

    fn request(&self) -> impl Future<Output = Result<(), BoxError>> + Send + use<> {
        let (client, body) = (self.client.clone(), self.body.clone());
        async move {
            let len = body.len();
            let reply = client.request(format!("{SUBJECT}.raw"), body).await?;
            if reply.payload.len() == len { Ok(()) } else { Err("a reply of another length".into()) }
        }
    }
}

/// The bridge on both sides: each message is written, read, and its payload decoded, in both directions.
struct Own {
    bridge: Bridge,
    payload: Bytes,
    responder: JoinHandle<()>,
}

impl Own {
    async fn new(url: &str, len: usize) -> Result<Self, BoxError> {
        let mut requests = Bridge::connect(url).await?.subscribe(format!("{SUBJECT}.own")).await?;
        let responder = tokio::spawn(async move {
            while let Some(Ok(request)) = requests.next().await {
                let Some(payload) = request.payload_at(0) else { continue };
                let Ok(bytes) = payload.bytes().await else { continue };
                let _ = request.reply().binary("reading", bytes).await;
            }
        });
        Ok(Self { bridge: Bridge::connect(url).await?, payload: payload(len).into(), responder })
    }

    fn request(&self) -> impl Future<Output = Result<(), BoxError>> + Send + use<> {
        let (bridge, payload) = (self.bridge.clone(), self.payload.clone());
        async move {
            let len = payload.len();
            let reply = bridge.request(format!("{SUBJECT}.own")).binary("reading", payload).await?;
            let bytes = reply.payload_at(0).ok_or("no payload")?.bytes().await?;
            if bytes.len() == len { Ok(()) } else { Err("a payload of another length".into()) }
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.responder.abort();
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.responder.abort();
    }
}

/// A table for people.
pub fn table(rows: &[Latency]) -> String {
    let mut out = String::from(
        "# microseconds from when a request was due to its answer; wall clock, open loop\n\
         size      rate/s  contestant      p50      p90      p99    p99.9\n",
    );
    for row in rows {
        out += &format!("{:8} {:>7}  {:10}", row.size, row.rate, row.contestant);
        out.extend(row.micros.iter().map(|micros| format!(" {micros:>8.0}")));
        out.push('\n');
    }
    out
}
