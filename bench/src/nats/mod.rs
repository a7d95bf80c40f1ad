//! Publish and receive loops through a NATS server: the raw client, and natsbridge moving the same bytes.
//!
//! ```text
//! producer task ─► client ─► nats-server ─► client ─► consumer task      both clients in this process
//!       ▲                                                    │
//!       └───────────── not more than a window ahead ◄────────┘
//! ```
//!
//! A round moves a fixed number of messages and is charged the CPU time of the whole process, kernel included: both
//! clients, both tasks, the runtime. The server is another process and is not counted. Contestants are interleaved
//! round by round, and medians are compared.

mod contestant;
pub mod latency;
mod server;
mod window;

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use natsbridge::{Data, Dialect, MessageFields, PayloadFields};

pub use self::contestant::Contestant;
pub use self::server::NatsServer;

/// The error of a scenario that could not run.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Raw payload sizes: messages of 678 B, 1.9 K, 22 K, 86 K and 683 K.
pub const PAYLOAD_LENS: [usize; 5] = [64, 1000, 16 << 10, 64 << 10, 512 << 10];

/// How many messages a round moves: enough for a few hundred milliseconds.
pub fn messages_per_round(payload_len: usize) -> usize {
    match payload_len {
        0..=512 => 60_000,
        513..=4096 => 40_000,
        4097..=32_768 => 8_000,
        32_769..=131_072 => 2_500,
        _ => 400,
    }
}

/// What one round cost.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Round {
    /// Messages that were published and received.
    pub messages: usize,
    /// From the first publish to the last message received.
    pub wall: Duration,
    /// CPU time of the process, user and kernel.
    pub cpu: Duration,
}

impl Round {
    /// Microseconds of CPU for one message, both sides.
    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.messages as f64
    }

    /// Messages a second.
    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.wall.as_secs_f64()
    }
}

/// Runs one round of a contestant.
///
/// # Errors
/// Whatever the client or the bridge reports, and a wrong number of received bytes.
pub async fn round(contestant: &mut Contestant, messages: usize) -> Result<Round, BoxError> {
    let (cpu, start) = (ProcessTime::now(), Instant::now());
    contestant.run(messages).await?;
    Ok(Round { messages, wall: start.elapsed(), cpu: cpu.elapsed() })
}

/// What a contestant took at one size: medians of its rounds.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loop {
    /// Bytes of one message.
    pub message_len: usize,
    /// The contestant's name.
    pub contestant: &'static str,
    /// Microseconds of CPU for one message, both sides.
    pub cpu_us: f64,
    /// Messages a second.
    pub rate: f64,
}

/// Runs raw and ours at every size, in turns.
///
/// # Errors
/// There is no nats-server, or a message got lost.
#[tokio::main(worker_threads = 2)]
pub async fn loops(rounds: usize) -> Result<Vec<Loop>, BoxError> {
    let server = NatsServer::start()?;
    let mut all = Vec::new();
    for len in PAYLOAD_LENS {
        let mut contestants = Vec::new();
        for name in ["raw", "publisher", "send"] {
            contestants.push((Contestant::new(name, &server.url(), len).await?, Vec::new(), Vec::new()));
        }
        let messages = messages_per_round(len);
        for (contestant, ..) in &mut contestants {
            round(contestant, messages / 4).await?; // warm-up
        }
        for _ in 0..rounds {
            for (contestant, cpu, rate) in &mut contestants {
                let round = round(contestant, messages).await?;
                cpu.push(round.cpu_us());
                rate.push(round.rate());
            }
        }
        all.extend(contestants.into_iter().map(|(contestant, cpu, rate)| Loop {
            message_len: contestant.message_len(),
            contestant: contestant.name(),
            cpu_us: median(cpu),
            rate: median(rate),
        }));
    }
    Ok(all)
}

/// The payload that all contestants send.
pub fn payload(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(&mut step).take(len).collect()
}

/// The subject of all contestants.
pub const SUBJECT: &str = "bench.telemetry.readings";

/// The message that natsbridge writes for a payload, for the raw client to move. Ids and names have the usual lengths.
pub fn body(payload: &[u8], broker_url: &str) -> bytes::Bytes {
    let id = "0b5f6c1e-6f43-4f6c-9a57-1f3c1b0f9d11";
    let mut fields = MessageFields::default();
    fields.correlation_id = id;
    fields.msg_id = id;
    fields.timestamp = "2026-01-15T10:30:00.123Z";
    fields.send_to = SUBJECT;
    fields.msg_purpose = "chat";
    fields.sender_name = "NATSBridge";
    fields.sender_id = id;
    fields.broker_url = broker_url;
    let mut entry = PayloadFields::new("reading", "binary", Data::Bytes(payload));
    entry.id = id;
    let mut out = bytes::BytesMut::new();
    natsbridge::encode(Dialect::Camel, &fields, &[entry], &mut out);
    out.freeze()
}

/// The middle one of the values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
