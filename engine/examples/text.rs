//! The shortest sender: one text to a chat room.
//!
//! Start the receiver first: `cargo run --example receiver`, then `cargo run --example text`.

// README
use natsbridge::Bridge;

#[tokio::main]
async fn main() -> Result<(), natsbridge::Error> {
    let nats_url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://localhost:4222".into());
    let bridge = Bridge::builder().sender_name("user-1").connect(nats_url).await?;

    let receipt = bridge
        .send("/chat/room1")
        .text("message", "Hello, how are you today?")
        .flushed() // wait until the server has it: this program is about to end
        .await?;
    println!("sent, correlation id {}", receipt.envelope().correlation_id());
    Ok(())
}
// README end
