//! Many messages: one bridge for each side, several sends in flight, one flush at the end.
//!
//! `cargo run --release --example throughput [COUNT]`; the default is 100,000 messages.

use std::time::Instant;

use futures_util::{StreamExt, stream};
use natsbridge::{Bridge, Payload};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nats_url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://localhost:4222".into());
    let count: usize = std::env::args().nth(1).map_or(Ok(100_000), |count| count.parse())?;

    let consumer = Bridge::connect(&nats_url).await?;
    let mut readings = consumer.subscribe("telemetry.readings").await?;
    let consumed = tokio::spawn(async move {
        let mut sum = 0;
        for _ in 0..count {
            let message = readings.next().await.ok_or("the connection was closed")??;
            sum += message.payload("reading")?.bytes().await?.len();
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(sum)
    });

    let start = Instant::now();
    // README
    let bridge = Bridge::connect(&nats_url).await?; // once, for the life of the program

    // A payload is serialised once and can be sent many times; cloning it copies no bytes.
    let station = Payload::text("station", "roof-3");
    let mut sends = stream::iter(0..count)
        .map(|n| {
            let reading = json!({"n": n, "celsius": 21.5});
            bridge
                .send("telemetry.readings")
                .payload(station.clone())
                .dictionary("reading", &reading)
                .into_future()
        })
        .buffer_unordered(64); // in flight at once; they may overtake each other
    while let Some(receipt) = sends.next().await {
        receipt?;
    }
    bridge.flush().await?; // one round trip for all of them
    // README end
    println!("sent {count} messages in {:?}", start.elapsed());
    let bytes = consumed.await?.map_err(|error| error.to_string())?;
    println!("received all {count}, {bytes} bytes of readings, after {:?}", start.elapsed());
    println!("dropped on the consumer's side: {}", consumer.counters().dropped_messages);
    Ok(())
}
