//! A payload that is too large for a NATS message and travels by link.
//!
//! Needs a file server: `cargo run --example fileserver --features fileserver`.

use natsbridge::Bridge;
use natsbridge::link::Plik;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nats_url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://localhost:4222".into());
    let fileserver_url =
        std::env::var("NATSBRIDGE_FILESERVER").unwrap_or_else(|_| "http://localhost:8080".into());
    // README
    let bridge = Bridge::builder().store(Plik::new(&fileserver_url)?).connect(&nats_url).await?;

    let large_data = vec![42u8; 20_000_000];
    let receipt = bridge.send("/chat/room1").binary("large_file", large_data).flushed().await?;

    let sent = &receipt.payloads()[0];
    println!("{} bytes went by {}", sent.size, sent.transport);
    if let (Some(url), Some(expires_at)) = (&sent.url, sent.expires_at) {
        // Whoever knows the URL has the file, so log it only where that is fine.
        println!("uploaded to {}", url.as_str());
        println!("kept until {}", natsbridge::timestamp::format(expires_at));
    }
    println!("the message itself has {} bytes", receipt.message_len());
    // README end
    Ok(())
}
