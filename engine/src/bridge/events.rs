//! What the NATS client reports beside messages: violations, dropped messages, lost connections.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Event, ServerError};
use tokio::sync::Notify;

/// Collects a client's events, so that a bridge can turn them into errors and counters. Cloning shares them.
///
/// A bridge that connects by itself installs this. For a client that is connected elsewhere, install it there:
///
/// ```no_run
/// use natsbridge::{Bridge, bridge::Events};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let events = Events::new();
/// let client = async_nats::ConnectOptions::new()
///     .event_callback(events.callback())
///     .connect("nats://localhost:4222")
///     .await?;
/// let bridge = Bridge::builder().events(events).from_client(client);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The texts of the latest violations, each with its number.
    violations: Mutex<VecDeque<(u64, String)>>,
    violation_count: AtomicU64,
    dropped: AtomicU64,
    reconnects: AtomicU64,
    disconnects: AtomicU64,
    server_errors: AtomicU64,
    closed: AtomicBool,
    changed: Notify,
}

/// How many violations are remembered: enough for the sends that can be waiting for a confirmation at once.
const REMEMBERED: usize = 256;

/// How often things have happened on a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Publishes and subscriptions that the server's permissions refused.
    pub permission_violations: u64,
    /// Received messages that were dropped because a subscription's queue was full.
    pub dropped_messages: u64,
    /// Other errors that the server reported.
    pub server_errors: u64,
    /// Connections lost.
    pub disconnects: u64,
    /// Connections made after the first.
    pub reconnects: u64,
}

impl Events {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to give to [`async_nats::ConnectOptions::event_callback`].
    pub fn callback(
        &self,
    ) -> impl Fn(Event) -> Pin<Box<dyn Future<Output = ()> + Send + Sync + 'static>> + Send + Sync + 'static
    {
        let events = self.clone();
        move |event| {
            events.handle(&event);
            Box::pin(std::future::ready(()))
        }
    }

    /// Takes note of one event; for programs with an event callback of their own.
    pub fn handle(&self, event: &Event) {
        let shared = &*self.shared;
        let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match event {
            Event::Connected => {
                if shared.disconnects.load(Ordering::Relaxed) > 0 {
                    add(&shared.reconnects);
                }
            }
            Event::Disconnected => {
                add(&shared.disconnects);
                tracing::warn!("disconnected from NATS");
            }
            Event::Closed => shared.closed.store(true, Ordering::Release),
            Event::SlowConsumer(_) => {
                add(&shared.dropped);
            }
            Event::ServerError(ServerError::Other(text)) if is_violation(text) => {
                tracing::warn!(error = %text, "refused by the NATS server");
                self.remember(text);
            }
            Event::ServerError(error) => {
                add(&shared.server_errors);
                tracing::warn!(%error, "error from the NATS server");
            }
            Event::ClientError(error) => tracing::warn!(%error, "error in the NATS client"),
            Event::LameDuckMode | Event::Draining => {}
        }
        shared.changed.notify_waiters();
    }

    fn remember(&self, text: &str) {
        let mut violations = self.shared.violations.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.shared.violation_count.fetch_add(1, Ordering::Relaxed);
        if violations.len() == REMEMBERED {
            violations.pop_front();
        }
        violations.push_back((number, text.to_owned()));
    }

    /// How often things have happened so far.
    pub fn counters(&self) -> Counters {
        let shared = &*self.shared;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            permission_violations: read(&shared.violation_count),
            dropped_messages: read(&shared.dropped),
            server_errors: read(&shared.server_errors),
            disconnects: read(&shared.disconnects),
            reconnects: read(&shared.reconnects),
        }
    }

    /// A mark in time for [`violation_since`](Self::violation_since).
    pub(super) fn mark(&self) -> u64 {
        self.shared.violation_count.load(Ordering::Relaxed)
    }

    /// Whether the server has refused this subject since the mark.
    pub(super) fn violation_since(&self, mark: u64, subject: &str) -> bool {
        let quoted = format!("\"{subject}\"");
        let violations = self.shared.violations.lock().unwrap_or_else(PoisonError::into_inner);
        violations.iter().any(|(number, text)| *number >= mark && text.contains(&quoted))
    }

    /// Returns once the server has refused this subject since the mark; never, if it does not.
    pub(super) async fn refused(&self, mark: u64, subject: &str) {
        loop {
            let changed = self.shared.changed.notified();
            if self.violation_since(mark, subject) {
                return;
            }
            changed.await;
        }
    }

    /// Returns once the connection is closed for good.
    pub(super) async fn closed(&self) {
        loop {
            let changed = self.shared.changed.notified();
            if self.shared.closed.load(Ordering::Acquire) {
                return;
            }
            changed.await;
        }
    }
}

/// The server's text is `Permissions Violation for Publish to "subject"`, or `for Subscription to`.
fn is_violation(text: &str) -> bool {
    text.to_ascii_lowercase().starts_with("permissions violation")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(subject: &str) -> Event {
        Event::ServerError(ServerError::Other(format!("Permissions Violation for Publish to \"{subject}\"")))
    }

    #[test]
    fn a_violation_is_found_by_its_whole_subject_and_only_since_the_mark() {
        let events = Events::new();
        events.handle(&violation("a.b"));
        let mark = events.mark();
        assert!(events.violation_since(0, "a.b"));
        assert!(!events.violation_since(0, "a"));
        assert!(!events.violation_since(mark, "a.b"));
        for n in 0..1000 {
            events.handle(&violation(&format!("x.{n}")));
        }
        assert!(!events.violation_since(0, "a.b")); // forgotten
        assert!(events.violation_since(mark, "x.999"));
        assert_eq!(events.counters().permission_violations, 1001);
    }
}
