//! A query and its answer: both sides in one program, over one connection.

use std::time::Duration;

use arrow_array::record_batch;
use futures_util::StreamExt;
use natsbridge::link::Plik;
use natsbridge::{Bridge, Message};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nats_url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://localhost:4222".into());
    let fileserver_url =
        std::env::var("NATSBRIDGE_FILESERVER").unwrap_or_else(|_| "http://localhost:8080".into());
    let bridge = Bridge::builder().store(Plik::new(&fileserver_url)?).connect(&nats_url).await?;
    // README
    // The backend. Of several in one queue group, each query reaches one.
    let mut queries = bridge.queue_subscribe("/api/query", "backends").await?;
    tokio::spawn(async move {
        while let Some(query) = queries.next().await {
            let answered = match query {
                Ok(query) => answer(&query).await,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = answered {
                eprintln!("a query was not answered: {error}");
            }
        }
    });

    async fn answer(query: &Message) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let sql = query.payload("sql_query")?.json_value().await?;
        println!("{} asks: {}", query.sender_name(), sql["query"]);
        let users = record_batch!(("id", Int64, [1, 2]), ("name", Utf8, ["Alice", "Bob"]))?;
        query.reply().table("users", &[users]).await?; // to where the query asks for it
        Ok(())
    }

    // The frontend.
    let reply = bridge
        .request("/api/query")
        .dictionary("sql_query", &json!({"query": "SELECT * FROM users"}))
        .sender_name("frontend")
        .receiver("backend")
        .timeout(Duration::from_secs(5))
        .await?;
    for batch in reply.payload("users")?.record_batches().await? {
        println!("{} users, {} columns", batch.num_rows(), batch.num_columns());
    }
    // README end
    Ok(())
}
