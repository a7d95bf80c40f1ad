//! What the NATS client reports beside messages: violations, dropped messages, lost connections.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_nats::{Event, ServerError};
use tokio::sync::Notify;

use super::log_limit::LogLimit;

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
    /// What somebody waits to hear a refusal of.
    watched: Mutex<HashMap<Refusal, Watched>>,
    violation_count: AtomicU64,
    dropped: AtomicU64,
    reconnects: AtomicU64,
    disconnects: AtomicU64,
    server_errors: AtomicU64,
    undeleted_uploads: AtomicU64,
    closed: AtomicBool,
    changed: Notify,
    logged: Logged,
}

/// How often each of these was logged: somebody else's server must not fill the log.
#[derive(Debug, Default)]
struct Logged {
    disconnects: LogLimit,
    violations: LogLimit,
    server_errors: LogLimit,
    client_errors: LogLimit,
}

/// What the server's permissions can refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Publish,
    Subscribe,
}

/// An operation and its subject.
type Refusal = (Operation, String);

#[derive(Debug, Default)]
struct Watched {
    watches: usize,
    refusals: u64,
}

/// Somebody's interest in whether one subject is refused, from when it was made.
#[derive(Debug)]
pub(super) struct Watch {
    events: Events,
    what: Refusal,
    /// The refusals before it was made, which were about somebody else's.
    before: u64,
}

impl Watch {
    /// Whether the server has refused it.
    pub(super) fn is_refused(&self) -> bool {
        self.events.watched().get(&self.what).is_some_and(|watched| watched.refusals > self.before)
    }

    /// Returns once the server has refused it; never, if it does not.
    pub(super) async fn refused(&self) {
        loop {
            let changed = self.events.shared.changed.notified();
            if self.is_refused() {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.events.watched();
        if let Some(entry) = watched.get_mut(&self.what) {
            entry.watches -= 1;
            if entry.watches == 0 {
                watched.remove(&self.what);
            }
        }
    }
}

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
    /// Uploads of messages that were not sent, which could not be deleted and are left to their lifetime.
    pub undeleted_uploads: u64,
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
        let (shared, logged) = (&*self.shared, &self.shared.logged);
        let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match event {
            Event::Connected => {
                if shared.disconnects.load(Ordering::Relaxed) > 0 {
                    add(&shared.reconnects);
                }
            }
            Event::Disconnected => {
                add(&shared.disconnects);
                if let Some(suppressed) = logged.disconnects.pass(Instant::now()) {
                    tracing::warn!(suppressed, "disconnected from NATS");
                }
            }
            Event::Closed => shared.closed.store(true, Ordering::Release),
            Event::SlowConsumer(_) => {
                add(&shared.dropped);
            }
            Event::ServerError(ServerError::Other(text)) if is_violation(text) => {
                if let Some(suppressed) = logged.violations.pass(Instant::now()) {
                    tracing::warn!(error = %text, suppressed, "refused by the NATS server");
                }
                add(&shared.violation_count);
                if let Some(what) = refusal(text)
                    && let Some(watched) = self.watched().get_mut(&what)
                {
                    watched.refusals += 1;
                }
            }
            Event::ServerError(error) => {
                add(&shared.server_errors);
                if let Some(suppressed) = logged.server_errors.pass(Instant::now()) {
                    tracing::warn!(%error, suppressed, "error from the NATS server");
                }
            }
            Event::ClientError(error) => {
                if let Some(suppressed) = logged.client_errors.pass(Instant::now()) {
                    tracing::warn!(%error, suppressed, "error in the NATS client");
                }
            }
            Event::LameDuckMode | Event::Draining => {}
        }
        shared.changed.notify_waiters();
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<Refusal, Watched>> {
        self.shared.watched.lock().unwrap_or_else(PoisonError::into_inner)
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
            undeleted_uploads: read(&shared.undeleted_uploads),
        }
    }

    /// Uploads were left behind.
    pub(super) fn count_undeleted(&self, count: u64) {
        self.shared.undeleted_uploads.fetch_add(count, Ordering::Relaxed);
    }

    /// [`Counters::dropped_messages`] alone: it is read for every message.
    pub(super) fn dropped_messages(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Watches for the refusal of one subject; to be made before the server is asked.
    pub(super) fn watch(&self, operation: Operation, subject: &str) -> Watch {
        let what = (operation, subject.to_owned());
        let mut watched = self.watched();
        let entry = watched.entry(what.clone()).or_default();
        entry.watches += 1;
        let before = entry.refusals;
        drop(watched);
        Watch { events: self.clone(), what, before }
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

fn is_violation(text: &str) -> bool {
    text.to_ascii_lowercase().starts_with("permissions violation")
}

/// What the server has refused. Its text is `Permissions Violation for Publish to "subject"`, or `for Subscription to`,
/// the subject quoted as Go quotes strings.
fn refusal(text: &str) -> Option<Refusal> {
    let (head, quoted) = text.split_once('"')?;
    let operation = match head.to_ascii_lowercase().trim_end() {
        "permissions violation for publish to" => Operation::Publish,
        "permissions violation for subscription to" => Operation::Subscribe,
        _ => return None,
    };
    Some((operation, unquote(quoted)?))
}

/// The string up to its closing quote, its escapes resolved.
fn unquote(quoted: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = quoted.chars();
    loop {
        let plain = match rest.next()? {
            '"' => return String::from_utf8(bytes).ok(),
            '\\' => match rest.next()? {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                kind @ ('x' | 'u' | 'U') => {
                    let digits = match kind {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let (hex, after) = rest.as_str().split_at_checked(digits)?;
                    let code = u32::from_str_radix(hex, 16).ok()?;
                    rest = after.chars();
                    if kind == 'x' {
                        bytes.push(u8::try_from(code).ok()?);
                        continue;
                    }
                    char::from_u32(code)?
                }
                other => other,
            },
            other => other,
        };
        bytes.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(text: &str) -> Event {
        Event::ServerError(ServerError::Other(format!("Permissions Violation for {text}")))
    }

    #[test]
    fn a_refusal_reaches_who_watches_that_operation_on_that_subject_and_nobody_else() {
        let events = Events::new();
        events.handle(&violation("Publish to \"a.b\""));
        let publish = events.watch(Operation::Publish, "a.b");
        let subscribe = events.watch(Operation::Subscribe, "a.b");
        let other = events.watch(Operation::Publish, "a");
        assert!(!publish.is_refused());
        for n in 0..1000 {
            events.handle(&violation(&format!("Publish to \"x.{n}\"")));
        }
        events.handle(&violation("Publish to \"a.b\""));
        let late = events.watch(Operation::Publish, "a.b");
        assert!(publish.is_refused() && !subscribe.is_refused() && !other.is_refused() && !late.is_refused());
        events.handle(&violation("Subscription to \"a.b\" using queue \"a\""));
        assert!(subscribe.is_refused() && !other.is_refused());
        assert_eq!(events.counters().permission_violations, 1003);
        drop((publish, subscribe, other, late));
        assert!(events.watched().is_empty());
    }

    #[test]
    fn subjects_are_read_as_the_server_quotes_them() {
        for (quoted, subject) in [
            (r#"a.b""#, "a.b"),
            (r#"a\"b\\c""#, "a\"b\\c"),
            (r#"\u200b\U0001f600\xc3\xa9\t\a""#, "\u{200b}😀é\t\u{7}"),
            (r#"日本" using queue "q""#, "日本"),
        ] {
            assert_eq!(unquote(quoted).as_deref(), Some(subject), "{quoted}");
        }
        for broken in ["", "a", r"a\", r#"\x4""#, r#"\ud800""#, r#"\xff""#] {
            assert_eq!(unquote(broken), None, "{broken}");
        }
    }
}
