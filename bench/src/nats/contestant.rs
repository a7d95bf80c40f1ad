//! The contestants: each publishes and receives in its own way.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use natsbridge::{Bridge, PayloadRef};

use super::window::Window;
use super::{BoxError, SUBJECT, body, payload};

/// A producer and a consumer with a connection each.
#[derive(Debug)]
pub struct Contestant {
    name: &'static str,
    window: Arc<Window>,
    payload: Bytes,
    body: Bytes,
    /// Away while it runs in a task of its own.
    producer: Option<Producer>,
    consumer: Option<Consumer>,
}

#[derive(Debug)]
enum Producer {
    /// The raw client with a message that is ready.
    Raw(async_nats::Client),
    /// `bridge.send(…).await`
    Send(Bridge),
    /// `publisher.publish(…).await`, by turns where there are several, each with a connection.
    Publishers(Vec<natsbridge::Publisher>),
}

#[derive(Debug)]
enum Consumer {
    /// The raw client; the message is counted.
    Raw(async_nats::Subscriber),
    /// Each message read, its payload decoded.
    Bridge(Box<natsbridge::Subscription>),
}

/// Name, producer, consumer.
const ALL: [(&str, &str, &str); 6] = [
    ("raw", "raw", "raw"),
    ("send", "send", "bridge"),
    ("publisher", "publisher", "bridge"),
    ("publisher to raw", "publisher", "raw"),
    ("raw to bridge", "raw", "bridge"),
    ("publisher, 2 connections", "publishers", "bridge"),
];

impl Contestant {
    /// The names that [`new`](Self::new) takes.
    pub const NAMES: [&str; ALL.len()] = {
        let mut names = [""; ALL.len()];
        let mut at = 0;
        while at < ALL.len() {
            names[at] = ALL[at].0;
            at += 1;
        }
        names
    };

    /// Connects a contestant.
    ///
    /// # Errors
    /// If there is no server, and for a name that is none of [`NAMES`](Self::NAMES).
    pub async fn new(name: &str, url: &str, payload_len: usize) -> Result<Self, BoxError> {
        let payload = Bytes::from(payload(payload_len));
        let body = body(&payload, url);
        let (name, producer, consumer) = ALL
            .into_iter()
            .find(|(known, ..)| *known == name)
            .ok_or_else(|| format!("no contestant {name}"))?;
        let subject = format!("{SUBJECT}.{}", name.replace([' ', ','], "-"));
        let consumer = match consumer {
            "raw" => {
                let client = async_nats::connect(url).await?;
                let subscriber = client.subscribe(subject.clone()).await?;
                client.flush().await?;
                Consumer::Raw(subscriber)
            }
            _ => Consumer::Bridge(Box::new(Bridge::connect(url).await?.subscribe(&subject).await?)),
        };
        let producer = match producer {
            "raw" => Producer::Raw(async_nats::connect(url).await?),
            "send" => Producer::Send(Bridge::connect(url).await?),
            _ => {
                let mut publishers = Vec::new();
                for _ in 0..if producer == "publishers" { 2 } else { 1 } {
                    publishers.push(Bridge::connect(url).await?.publisher(&subject).build()?);
                }
                Producer::Publishers(publishers)
            }
        };
        let window = Arc::new(Window::of(body.len()));
        Ok(Self { name, window, payload, body, producer: Some(producer), consumer: Some(consumer) })
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
        const GONE: &str = "an earlier round has failed";
        self.window.reset();
        let subject = format!("{SUBJECT}.{}", self.name.replace([' ', ','], "-"));
        let (window, payload, body) = (Arc::clone(&self.window), self.payload.clone(), self.body.clone());
        let producer = self.producer.take().ok_or(GONE)?;
        let producer = tokio::spawn(produce(producer, messages, window, subject, payload, body));
        // In tasks of their own both, as in a program: what the main task awaits is woken across threads.
        let (window, expected) = (Arc::clone(&self.window), self.payload.len());
        let consumer = self.consumer.take().ok_or(GONE)?;
        let consumer = tokio::spawn(consume(consumer, messages, window, expected));
        self.consumer = Some(consumer.await??);
        self.producer = Some(producer.await??);
        Ok(())
    }
}

async fn consume(
    mut consumer: Consumer,
    messages: usize,
    window: Arc<Window>,
    expected: usize,
) -> Result<Consumer, BoxError> {
    match &mut consumer {
        Consumer::Raw(subscriber) => {
            for _ in 0..messages {
                let message = subscriber.next().await.ok_or("the connection was closed")?;
                std::hint::black_box(message.payload.len());
                window.received();
            }
        }
        Consumer::Bridge(subscription) => {
            for _ in 0..messages {
                let message = subscription.next().await.ok_or("the connection was closed")??;
                let payload = message.payload_at(0).ok_or("no payload")?.bytes().await?;
                if payload.len() != expected {
                    return Err("a payload of another length".into());
                }
                window.received();
            }
        }
    }
    Ok(consumer)
}

async fn produce(
    mut producer: Producer,
    messages: usize,
    window: Arc<Window>,
    subject: String,
    payload: Bytes,
    body: Bytes,
) -> Result<Producer, BoxError> {
    match &mut producer {
        Producer::Raw(client) => {
            let subject = async_nats::Subject::from(subject);
            for sent in 0..messages {
                window.room(sent).await;
                client.publish(subject.clone(), body.clone()).await?;
            }
        }
        Producer::Send(bridge) => {
            for sent in 0..messages {
                window.room(sent).await;
                bridge.send(subject.as_str()).binary("reading", payload.clone()).await?;
            }
        }
        Producer::Publishers(publishers) => {
            let count = publishers.len();
            for sent in 0..messages {
                window.room(sent).await;
                publishers[sent % count].publish(&[PayloadRef::binary("reading", &payload)]).await?;
            }
        }
    }
    Ok(producer)
}
