//! A voice message and a video in one message: `cargo run --example audio_video [AUDIO VIDEO]`.

use std::path::PathBuf;

use natsbridge::Bridge;
use natsbridge::link::{Plik, Source};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nats_url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://localhost:4222".into());
    let fileserver_url =
        std::env::var("NATSBRIDGE_FILESERVER").unwrap_or_else(|_| "http://localhost:8080".into());
    let mut paths = std::env::args().skip(1).map(PathBuf::from);
    let (audio, video) = match (paths.next(), paths.next()) {
        (Some(audio), Some(video)) => (audio, video),
        _ => (sample("voice_message.mp3", 300_000)?, sample("video_message.mp4", 5_000_000)?),
    };
    let bridge = Bridge::builder().store(Plik::new(&fileserver_url)?).connect(&nats_url).await?;
    // README
    let receipt = bridge
        .send("/chat/room1")
        .audio("voice_message", std::fs::read(audio)?) // from memory
        .source("video", "video_message", Source::file(video)) // read while it is sent
        .payload_metadata("codec", "h264") // of the payload before it
        .flushed()
        .await?;
    // README end
    for payload in receipt.payloads() {
        println!("{}: {} bytes, {}", payload.dataname, payload.size, payload.transport);
    }
    Ok(())
}

/// A file of that length, for those who have none at hand. Nobody will be able to play it.
fn sample(name: &str, len: usize) -> std::io::Result<PathBuf> {
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, vec![0x55; len])?;
    Ok(path)
}
