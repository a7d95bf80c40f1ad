//! A spinner on standard error while a message is on its way, for people only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{Stream, bytes, is_terminal};

/// Below this a send is over before anybody has looked.
const WORTH_SHOWING: u64 = 1_000_000;

/// Takes itself off the screen when it is dropped.
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    /// How much there is to send, and for how long it has been going on.
    pub(crate) fn sending(total: u64) -> Option<Self> {
        Self::new("sending", total)
    }

    /// How much there is to fetch.
    pub(crate) fn receiving(total: u64) -> Option<Self> {
        Self::new("receiving", total)
    }

    fn new(what: &str, total: u64) -> Option<Self> {
        if total < WORTH_SHOWING || !is_terminal(Stream::Stderr) {
            return None;
        }
        let bar = ProgressBar::new_spinner().with_message(format!("{what} {}", bytes(total)));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Some(Self(bar))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
