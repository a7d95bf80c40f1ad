//! A text and an image in one message: `cargo run --example image [FILE]`.

use std::path::{Path, PathBuf};

use natsbridge::Bridge;
use natsbridge::link::Plik;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nats_url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://localhost:4222".into());
    let fileserver_url =
        std::env::var("NATSBRIDGE_FILESERVER").unwrap_or_else(|_| "http://localhost:8080".into());
    let path = std::env::args().nth(1).map_or_else(|| sample("screenshot.ppm"), |path| Ok(path.into()))?;
    send(&nats_url, &fileserver_url, &path).await
}

async fn send(nats_url: &str, fileserver_url: &str, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    // README
    let bridge = Bridge::builder()
        .store(Plik::new(fileserver_url)?) // where large payloads go
        .sender_name("user-1")
        .connect(nats_url)
        .await?;

    let receipt = bridge
        .send("/chat/room1")
        .text("text", "Check out this screenshot!")
        .image("screenshot", std::fs::read(path)?)
        .flushed()
        .await?;
    for payload in receipt.payloads() {
        println!("{}: {} bytes, {}", payload.dataname, payload.size, payload.transport); // direct or link
    }
    // README end
    Ok(())
}

/// A small picture, for those who have none at hand: a portable pixmap of 100 x 100 pixels.
fn sample(name: &str) -> std::io::Result<PathBuf> {
    let mut picture = b"P6 100 100 255\n".to_vec();
    picture.extend((0..100 * 100u32).flat_map(|n| [(n % 100) as u8, (n / 100) as u8, 128]));
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, picture)?;
    Ok(path)
}
