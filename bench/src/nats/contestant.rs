//! The contestants: each publishes and receives in its own way.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use natsbridge::Bridge;

use super::window::Window;
use super::{BoxError, SUBJECT, body, payload};

/// A producer and a consumer with a connection each.
#[derive(Debug)]
pub struct Contestant {
    name: &'static str,
    window: Arc<Window>,
    payload: Bytes,
    body: Bytes,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// The raw client with a message that is ready.
    Raw { client: async_nats::Client, subscriber: async_nats::Subscriber },
    /// `bridge.send(…).await`, and each payload decoded.
    Send { bridge: Bridge, subscription: natsbridge::bridge::Subscription },
}

impl Contestant {
    /// The names that [`new`](Self::new) takes.
    pub const NAMES: [&str; 2] = ["raw", "send"];

    /// Connects a contestant.
    ///
    /// # Errors
    /// If there is no server, and for a name that is none of [`NAMES`](Self::NAMES).
    pub async fn new(name: &str, url: &str, payload_len: usize) -> Result<Self, BoxError> {
        let payload = Bytes::from(payload(payload_len));
        let body = body(&payload, url);
        let subject = format!("{SUBJECT}.{name}");
        let (name, way) = match name {
            "raw" => {
                let consumer = async_nats::connect(url).await?;
                let subscriber = consumer.subscribe(subject).await?;
                consumer.flush().await?;
                ("raw", Way::Raw { client: async_nats::connect(url).await?, subscriber })
            }
            "send" => {
                let subscription = Bridge::connect(url).await?.subscribe(subject).await?;
                ("send", Way::Send { bridge: Bridge::connect(url).await?, subscription })
            }
            other => return Err(format!("no contestant {other}").into()),
        };
        let window = Arc::new(Window::of(body.len()));
        Ok(Self { name, window, payload, body, way })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The bytes of one message.
    pub fn message_len(&self) -> usize {
        self.body.len()
    }

    pub(super) async fn run(&mut self, messages: usize) -> Result<(), BoxError> {
        self.window.reset();
        let (window, payload, body) = (Arc::clone(&self.window), self.payload.clone(), self.body.clone());
        let subject = format!("{SUBJECT}.{}", self.name);
        let received = Arc::clone(&self.window);
        let expected = payload.len();
        match &mut self.way {
            Way::Raw { client, subscriber } => {
                let client = client.clone();
                let producer = tokio::spawn(async move {
                    let subject = async_nats::Subject::from(subject);
                    for sent in 0..messages {
                        window.room(sent).await;
                        client.publish(subject.clone(), body.clone()).await?;
                    }
                    Ok::<_, BoxError>(())
                });
                for _ in 0..messages {
                    let message = subscriber.next().await.ok_or("the connection was closed")?;
                    std::hint::black_box(message.payload.len());
                    received.received();
                }
                producer.await??;
            }
            Way::Send { bridge, subscription } => {
                let bridge = bridge.clone();
                let producer = tokio::spawn(async move {
                    for sent in 0..messages {
                        window.room(sent).await;
                        bridge.send(subject.as_str()).binary("reading", payload.clone()).await?;
                    }
                    Ok::<_, BoxError>(())
                });
                for _ in 0..messages {
                    let message = subscription.next().await.ok_or("the connection was closed")??;
                    let payload = message.payload_at(0).ok_or("no payload")?.bytes().await?;
                    if payload.len() != expected {
                        return Err("a payload of another length".into());
                    }
                    received.received();
                }
                producer.await??;
            }
        }
        Ok(())
    }
}
