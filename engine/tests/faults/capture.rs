//! Everything that is logged, at the finest level, to be searched for what nobody may see.

use std::fmt::{Debug, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

static TEXT: Mutex<String> = Mutex::new(String::new());
static OWN_LINES: AtomicU64 = AtomicU64::new(0);
static INSTALLED: OnceLock<()> = OnceLock::new();

/// Captures from now on, in all threads.
pub(crate) fn install() {
    INSTALLED.get_or_init(|| tracing::subscriber::set_global_default(Capture::default()).unwrap());
}

/// Adds something that a program may print itself.
pub(crate) fn add(text: &str) {
    let mut all = TEXT.lock().unwrap();
    all.push_str(text);
    all.push('\n');
}

/// An error as anybody could print it: with its causes, in both forms.
pub(crate) fn add_error(error: &natsbridge::Error) {
    add(&format!("{error} {error:?} {error:#?}"));
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        add(&format!("{cause} {cause:?}"));
        source = cause.source();
    }
    if let Some(cleanup) = error.cleanup() {
        add_error(cleanup);
    }
}

/// What was captured since the last time.
pub(crate) fn take() -> String {
    std::mem::take(&mut *TEXT.lock().unwrap())
}

/// How many events and spans of this library there were at all: a search in nothing finds nothing.
pub(crate) fn own_lines() -> u64 {
    OWN_LINES.load(Ordering::Relaxed)
}

/// What captures.
#[derive(Default)]
pub(crate) struct Capture {
    spans: AtomicU64,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

fn line(metadata: &Metadata<'_>) -> Line {
    if metadata.target().starts_with("natsbridge") {
        OWN_LINES.fetch_add(1, Ordering::Relaxed);
    }
    Line(format!("{} {} {}:", metadata.level(), metadata.target(), metadata.name()))
}

impl Subscriber for Capture {
    /// Everything but what the NATS client itself logs of whole messages, links included, and of its server's URL with
    /// the password: the README says so, and the command-line program never shows those either.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match metadata.target() {
            "async_nats::connection" => *metadata.level() <= Level::DEBUG,
            "async_nats::connector" => *metadata.level() <= Level::INFO,
            _ => true,
        }
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = line(span.metadata());
        span.record(&mut line);
        add(&line.0);
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line("span:".to_owned());
        values.record(&mut line);
        add(&line.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = line(event.metadata());
        event.record(&mut line);
        add(&line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
