//! An Arrow table there, and an average back from it.

use arrow_array::cast::AsArray;
use arrow_array::record_batch;
use arrow_array::types::Int64Type;
use futures_util::StreamExt;
use natsbridge::Bridge;
use natsbridge::link::Plik;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nats_url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://localhost:4222".into());
    let fileserver_url =
        std::env::var("NATSBRIDGE_FILESERVER").unwrap_or_else(|_| "http://localhost:8080".into());
    let bridge = Bridge::builder().store(Plik::new(&fileserver_url)?).connect(&nats_url).await?;
    // README
    let mut messages = bridge.subscribe("/chat/scores").await?;

    let scores = record_batch!(
        ("id", Int64, [1, 2, 3, 4, 5]),
        ("name", Utf8, ["Alice", "Bob", "Charlie", "Diana", "Eve"]),
        ("score", Int64, [95, 88, 92, 98, 85])
    )?;
    bridge.send("/chat/scores").table("student_scores", &[scores]).await?;

    let message = messages.next().await.ok_or("the connection was closed")??;
    for batch in message.payload("student_scores")?.record_batches().await? {
        let score = batch.column_by_name("score").ok_or("no column of that name")?;
        let score = score.as_primitive_opt::<Int64Type>().ok_or("scores that are no integers")?;
        let sum: i64 = score.iter().flatten().sum();
        println!("{} rows, average score {}", batch.num_rows(), sum as f64 / score.len() as f64);
    }
    // README end
    Ok(())
}
