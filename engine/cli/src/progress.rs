//! A bar on standard error while payloads are uploaded, for people only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use natsbridge::link::Progress;

use crate::output::{Stream, is_terminal};

/// Below this a transfer is over before anybody has looked.
const WORTH_SHOWING: u64 = 1_000_000;

/// Takes itself off the screen when it is dropped.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar, and what feeds it.
    pub(crate) fn sending() -> (Self, Progress) {
        Self::new("sending")
    }

    /// The same for what is fetched.
    pub(crate) fn receiving() -> (Self, Progress) {
        Self::new("receiving")
    }

    fn new(what: &'static str) -> (Self, Progress) {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let shown = is_terminal(Stream::Stderr);
        let own = bar.clone();
        let known = format!("{what} {{bytes}} of {{total_bytes}} {{wide_bar}} {{bytes_per_sec}} {{eta}}");
        let unknown = format!("{what} {{bytes}} {{bytes_per_sec}}");
        let progress = Progress::callback(move |report| {
            if shown && own.is_hidden() && report.total.unwrap_or(report.bytes) >= WORTH_SHOWING {
                let template = if report.total.is_some() { &known } else { &unknown };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    own.set_style(style);
                }
                own.set_draw_target(ProgressDrawTarget::stderr());
            }
            if let Some(total) = report.total {
                own.set_length(total);
            }
            own.set_position(report.bytes);
        });
        (Self(bar), progress)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
