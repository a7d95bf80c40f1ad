//! Many messages: one bridge for each side, a publisher, one flush at the end.
//!
//! `cargo run --release --example throughput [COUNT]`; the default is 200,000 messages.

use std::time::Instant;

use futures_util::StreamExt;
use natsbridge::async_nats::ConnectOptions;
use natsbridge::{Bridge, PayloadRef};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Reading {
    n: usize,
    celsius: f64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nats_url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://localhost:4222".into());
    let count: usize = std::env::args().nth(1).map_or(Ok(200_000), |count| count.parse())?;

    // Nothing holds the producer back, so the queue has room for all that the consumer is behind.
    let options = ConnectOptions::new().subscription_capacity(count.max(65_536));
    let consumer = Bridge::builder().nats_options(options).connect(&nats_url).await?;
    let mut messages = consumer.subscribe("telemetry.>").await?;
    // A task of its own: what the main task waits for is woken across threads, which costs more than a message.
    let consumed = tokio::spawn(async move {
        let mut sum = 0.0;
        for _ in 0..count / 2 * 2 {
            let message = messages.next().await.ok_or("the connection was closed")??;
            match message.subject() {
                "telemetry.readings" => {
                    let reading: Reading = message.payload("reading")?.json().await?;
                    sum += reading.celsius;
                }
                _ => sum += f64::from(message.payload("samples")?.bytes().await?[0]),
            }
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(sum)
    });

    let start = Instant::now();
    let produced = tokio::spawn(produce(nats_url, count));
    produced.await?.map_err(|error| error.to_string())?;
    println!("sent {count} messages in {:?}", start.elapsed());
    let sum = consumed.await?.map_err(|error| error.to_string())?;
    println!("received all of them, with a sum of {sum}, after {:?}", start.elapsed());
    println!("dropped on the consumer's side: {}", consumer.counters().dropped_messages);
    Ok(())
}

async fn produce(nats_url: String, count: usize) -> Result<(), natsbridge::Error> {
    // README
    let bridge = Bridge::connect(&nats_url).await?; // once, for the life of the program

    // Once for each subject and task. What does not change is prepared here.
    let mut readings = bridge.publisher("telemetry.readings").purpose("updateStatus").build()?;
    let mut samples = bridge.publisher("telemetry.samples").build()?;
    let mut buffer = [0u8; 64];
    for n in 0..count / 2 {
        // Written as JSON into a buffer that is used again.
        readings.publish_dictionary("reading", &Reading { n, celsius: 21.5 }).await?;
        // Or any payloads, from wherever their bytes are.
        buffer[0] = n as u8;
        samples.publish(&[PayloadRef::binary("samples", &buffer)]).await?;
    }
    bridge.flush().await?; // one round trip for all of them
    // README end
    Ok(())
}
