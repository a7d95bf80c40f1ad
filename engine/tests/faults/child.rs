//! Programs of their own, whose memory is measured from outside, or that are killed.
//!
//! A child says `ready`, waits for a line, does its work, says `done`, and waits for its end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::pin::Pin;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use natsbridge::link::{HttpTimeouts, Origin};
use natsbridge::{Bridge, Message};
use tokio::io::{AsyncRead, ReadBuf};

/// A child that is killed when it is dropped.
pub(crate) struct Other {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    /// Hands on what the child says, so that waiting for it can have an end.
    reader: Option<JoinHandle<()>>,
}

/// How long a child may take for what takes no time to speak of.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

impl Other {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--child")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (say, lines) = channel();
        let reader = std::thread::spawn(move || {
            let mut said = output.lines().map_while(Result::ok);
            let _ = said.try_for_each(|line| say.send(line));
        });
        Self { child, input, lines, reader: Some(reader) }
    }

    /// What the child says next; or, in words that no child uses, that it says nothing more.
    pub(crate) fn line(&mut self, within: Duration) -> String {
        match self.lines.recv_timeout(within) {
            Ok(line) => line.trim().to_owned(),
            Err(RecvTimeoutError::Timeout) => format!("nothing within {within:?}"),
            // It has ended, or is about to.
            Err(RecvTimeoutError::Disconnected) => format!("nothing more: {:?}", self.child.try_wait()),
        }
    }

    pub(crate) fn go_on(&mut self) {
        let _ = writeln!(self.input, "go");
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // With the child its output has ended, and nothing is left open for others to find.
        let _ = self.reader.take().map(JoinHandle::join);
    }

    /// A line of `/proc/PID/status` in bytes: `VmRSS` now, `VmHWM` at most so far.
    pub(crate) fn memory(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The child's side.
pub(crate) fn main(arguments: Vec<String>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = runtime.block_on(async {
        match arguments[..] {
            ["upload", nats, template, len] => upload(nats, template, len.parse().unwrap()).await,
            ["download", nats, link, len] => download(nats, link, len.parse().unwrap()).await,
            ["save", nats, link, len, sha256, target] => {
                save(nats, link, len.parse().unwrap(), sha256, target).await
            }
            ["many", nats, base, count, budget] => {
                many(nats, base, count.parse().unwrap(), budget.parse().unwrap()).await
            }
            _ => Err(format!("no such child: {arguments:?}").into()),
        }
    });
    match outcome {
        Ok(()) => say("done"),
        Err(error) => say(&format!("failed: {error}")),
    }
    wait();
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome = Result<(), Failure>;

fn say(line: &str) {
    let mut output = std::io::stdout();
    let _ = writeln!(output, "{line}");
    let _ = output.flush();
}

fn wait() {
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}

/// Sends made-up bytes of unknown length: twice, because the first time shows what memory is needed anyway.
async fn upload(nats: &str, template: &str, len: u64) -> Outcome {
    let builder = Bridge::builder().upload_timeout(Duration::from_secs(3600));
    let bridge =
        crate::engine::http_uploads(builder, template, "", HttpTimeouts::default()).connect(nats).await?;
    bridge.send("sizes").reader("warm", Made { left: 16 << 20 }, None).flushed().await?;
    say("ready");
    wait();
    bridge.send("sizes").reader("big", Made { left: len }, None).flushed().await?;
    Ok(())
}

/// Bytes without end, up to a length.
struct Made {
    left: u64,
}

impl AsyncRead for Made {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let count = buffer.remaining().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        buffer.initialize_unfilled_to(count).fill(0x5a);
        buffer.advance(count);
        self.left -= count as u64;
        Poll::Ready(Ok(()))
    }
}

async fn download(nats: &str, link: &str, len: u64) -> Outcome {
    let origin = link.split("/make").next().unwrap_or_default();
    let bridge = Bridge::builder().allow_origin(Origin::parse(origin)?).connect(nats).await?;
    let warm =
        message(&bridge, &[(format!("{origin}/make/{}/warm", 16 << 20), 16 << 20, String::new())]).await?;
    crate::engine::drain(&warm.payload_at(0).ok_or("no payload")?).await?;
    say("ready");
    wait();
    let message = message(&bridge, &[(link.to_owned(), len, String::new())]).await?;
    let got = crate::engine::drain(&message.payload_at(0).ok_or("no payload")?).await?;
    if got == len { Ok(()) } else { Err(format!("{got} bytes instead of {len}").into()) }
}

async fn save(nats: &str, link: &str, len: u64, sha256: &str, target: &str) -> Outcome {
    let origin = link.split("/files").next().unwrap_or_default();
    let bridge = Bridge::builder().allow_origin(Origin::parse(origin)?).connect(nats).await?;
    let digest = format!(r#","metadata":{{"sha256":"{sha256}"}}"#);
    let message = message(&bridge, &[(link.to_owned(), len, digest)]).await?;
    say("ready");
    let payload = message.payload_at(0).ok_or("no payload")?;
    crate::engine::save(&payload, target.as_ref()).await?;
    Ok(())
}

/// Fetches many links of one megabyte at once, and lets go of each as soon as it is there.
async fn many(nats: &str, base: &str, count: usize, budget: u64) -> Outcome {
    let builder = Bridge::builder().allow_origin(Origin::parse(base)?);
    let bridge = builder.download_bytes(budget).connect(nats).await?;
    let links: Vec<_> =
        (0..count).map(|at| (format!("{base}/make/1048576/{at}"), 1 << 20, String::new())).collect();
    let warm = message(&bridge, &links[..1]).await?;
    warm.payload_at(0).ok_or("no payload")?.bytes().await?;
    let message = message(&bridge, &links).await?;
    say("ready");
    wait();
    let payloads = message.payloads();
    let mut fetches: FuturesUnordered<_> =
        payloads.map(|payload| async move { payload.bytes().await.map(|bytes| bytes.len()) }).collect();
    let mut got = 0;
    while let Some(len) = fetches.next().await {
        got += len?;
    }
    if got == count << 20 { Ok(()) } else { Err(format!("{got} bytes").into()) }
}

/// A message with these links, sent by hand to oneself: link, length, and what else is in the entry.
async fn message(bridge: &Bridge, links: &[(String, u64, String)]) -> Result<Message, Failure> {
    let subject = format!("child.{}", std::process::id());
    let mut messages = bridge.subscribe(&subject).await?;
    bridge.flush().await?;
    let entries: Vec<String> = links
        .iter()
        .map(|(link, len, rest)| {
            format!(
                r#"{{"dataname":"f","type":"binary","transport":"link","data":"{link}","size":{len}{rest}}}"#
            )
        })
        .collect();
    bridge.client().publish(subject, format!(r#"{{"payloads":[{}]}}"#, entries.join(",")).into()).await?;
    Ok(messages.next().await.ok_or("no message")??)
}
