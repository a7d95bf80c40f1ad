//! A device sends its configuration, and a service reads it into the same type.

use futures_util::StreamExt;
use natsbridge::Bridge;
use serde::{Deserialize, Serialize};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nats_url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://localhost:4222".into());
    // README
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Config {
        wifi_ssid: String,
        update_interval: u32,
        servers: Vec<String>,
    }

    let bridge = Bridge::builder().sender_name("device-7").connect(&nats_url).await?;
    let mut configs = bridge.subscribe("/device/config").await?; // the service

    // The device. A dictionary is any value that serde can write as JSON.
    let config =
        Config { wifi_ssid: "MyNetwork".into(), update_interval: 60, servers: vec!["10.0.0.5".into()] };
    bridge.send("/device/config").dictionary("config", &config).purpose("updateStatus").await?;

    // The service again.
    let message = configs.next().await.ok_or("the connection was closed")??;
    let received: Config = message.payload("config")?.json().await?;
    println!("{} reports {received:?}", message.sender_name());
    assert_eq!(received, config);
    // README end
    Ok(())
}
