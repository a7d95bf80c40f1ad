//! A store that misbehaves, and a receiver that fetches from it: held against a model of what may come of it.

use std::collections::HashMap;
use std::future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use natsbridge::link::{
    Body, BoxFuture, Download, Expected, FetchOptions, LinkStore, LinkUrl, Retry, Upload, Uploaded, Verified,
    fetch,
};
use natsbridge::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use crate::source::Source;

/// Files come and go, and are fetched while the store answers as the bytes say: after every fetch the result is one that
/// the model allows, within the tries and the time that were given. Time is simulated.
pub(crate) fn machine(bytes: &[u8]) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(&mut Source::new(bytes)));
}

async fn run(source: &mut Source<'_>) {
    let store = Misbehaving::default();
    for _ in 0..1 + source.below(8) {
        let id = source.below(3);
        match source.below(4) {
            0 => {
                let content = Bytes::from(source.bytes(300));
                store.lock().files.insert(url(id), File { content, one_shot: source.one_in(3) });
            }
            1 => drop(store.lock().files.remove(&url(id))),
            _ => fetch_one(source, &store, &url(id)).await,
        }
    }
}

async fn fetch_one(source: &mut Source<'_>, store: &Misbehaving, url: &str) {
    let file = store.lock().files.get(url).cloned();
    let right = file.as_ref().map(|file| file.content.clone()).unwrap_or_default();
    let one_shot = file.as_ref().is_some_and(|file| file.one_shot);
    let mut expected = Expected::nothing();
    let (mut size, mut digest) = (None, None);
    if source.one_in(2) {
        let wrong = if source.one_in(5) { 1 + source.below(3) as u64 } else { 0 };
        let announced = right.len() as u64 + wrong;
        // Some ports announce a size of 0 where they do not know it.
        size = Some(announced).filter(|&size| size > 0);
        expected = expected.size(announced);
    }
    if source.one_in(2) {
        let mut hash: [u8; 32] = Sha256::digest(&right).into();
        hash[0] ^= u8::from(source.one_in(5));
        digest = Some(hash);
        expected = expected.sha256(hash);
    }
    let max_retries = source.below(5) as u32;
    let total = (!source.one_in(3)).then(|| Duration::from_millis(1 + source.below(20_000) as u64));
    let options = FetchOptions::default()
        .retry(Retry::default().max_retries(max_retries))
        .total(total)
        .seed(u64::from(source.byte()))
        .max_len(if source.one_in(8) { source.below(200) as u64 } else { 1 << 20 })
        .refuse_unverified(source.one_in(8));
    let faults: Vec<Fault> = (0..1 + source.below(6)).map(|_| Fault::of(source, total.is_some())).collect();

    let calls = {
        let mut state = store.lock();
        state.script = faults.clone();
        state.script.reverse();
        state.delivered.clear();
        state.calls = 0;
        state.calls
    };
    assert_eq!(calls, 0);
    let begun = Instant::now();
    let link = LinkUrl::parse(url).expect("a link of the test's own");
    let result = fetch(store, &link, &expected, &options).await;
    let took = begun.elapsed();

    let state = store.lock();
    assert!(state.calls <= 1 + max_retries, "{} tries with {max_retries} retries", state.calls);
    if let Some(total) = total {
        // The simulated clock has whole milliseconds.
        assert!(took <= total + Duration::from_millis(2), "{took:?} of {total:?}");
    }
    match result {
        Ok(fetched) => {
            assert_eq!(fetched.attempts, state.calls);
            assert_eq!(state.delivered.last(), Some(&fetched.bytes), "bytes that no try has brought");
            assert!(fetched.bytes.len() as u64 <= options.max_len);
            let verified = match (digest, size) {
                (Some(digest), _) => {
                    assert_eq!(<[u8; 32]>::from(Sha256::digest(&fetched.bytes)), digest);
                    Verified::Digest
                }
                (None, Some(size)) => {
                    assert_eq!(fetched.bytes.len() as u64, size);
                    Verified::Length
                }
                (None, None) => Verified::Unverified,
            };
            assert_eq!(fetched.verified, verified);
            assert!(!options.refuse_unverified || verified != Verified::Unverified);
            assert_eq!(fetched.size_mismatch, size.is_some_and(|size| size != fetched.bytes.len() as u64));
            assert!(file.is_some(), "a file that is not there was fetched");
        }
        Err(error) => {
            assert!(
                state.calls == 0 || error.attempts().is_none_or(|tries| tries == state.calls),
                "{error:?}"
            );
            assert!(
                state.calls > 0
                    || matches!(error.kind(), ErrorKind::LinkUnverified | ErrorKind::LimitExceeded)
            );
            // It gives up early only where another try cannot help, or has no time.
            let tried_all = state.calls == 1 + max_retries;
            assert!(
                tried_all || !error.is_retryable() || total.is_some(),
                "{error:?} after {} tries",
                state.calls
            );
            // What is behind the link is what was promised, and some try that it had was a good one.
            let honest = file.is_some_and(|file| {
                file.content.len() as u64 <= options.max_len
                    && size.is_none_or(|size| size == file.content.len() as u64)
                    && digest.is_none_or(|digest| digest == <[u8; 32]>::from(Sha256::digest(&file.content)))
            });
            let verifiable = !options.refuse_unverified || size.is_some() || digest.is_some();
            let answers =
                faults.iter().take(state.calls as usize).filter(|fault| !matches!(fault, Fault::Refused(_)));
            // Of a one-shot file the first answer is the only one.
            let answers: Vec<_> = answers.take(if one_shot { 1 } else { usize::MAX }).collect();
            let good = answers.iter().any(|fault| matches!(fault, Fault::None));
            assert!(!(honest && verifiable && good), "a good try was refused: {error:?}");
        }
    }
}

fn url(id: usize) -> String {
    format!("http://files/{id}")
}

/// What goes wrong with one try.
#[derive(Debug, Clone)]
enum Fault {
    None,
    /// An error instead of an answer.
    Refused(ErrorKind),
    /// The body ends early, as announced or not.
    Short {
        by: usize,
        announced: bool,
    },
    /// More comes than there is.
    Long(usize),
    /// A bit is wrong.
    Flipped(usize),
    /// An error in the middle.
    Broken(ErrorKind),
    /// Nothing more comes.
    Stalled,
    /// A piece at a time.
    Slow(Duration),
}

impl Fault {
    fn of(source: &mut Source<'_>, may_stall: bool) -> Self {
        let kinds = [
            ErrorKind::Network,
            ErrorKind::TimedOut,
            ErrorKind::LinkUnavailable,
            ErrorKind::LinkGone,
            ErrorKind::LinkRejected,
            ErrorKind::LinkTruncated,
        ];
        match source.below(10) {
            1 => Self::Refused(source.pick(&kinds)),
            2 => Self::Short { by: 1 + source.below(9), announced: source.one_in(2) },
            3 => Self::Long(1 + source.below(9)),
            4 => Self::Flipped(source.below(300)),
            5 => Self::Broken(source.pick(&kinds)),
            6 if may_stall => Self::Stalled,
            7 => Self::Slow(Duration::from_millis(source.below(3000) as u64)),
            _ => Self::None,
        }
    }
}

#[derive(Debug, Clone)]
struct File {
    content: Bytes,
    one_shot: bool,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<String, File>,
    /// The faults to come, the next one last.
    script: Vec<Fault>,
    /// Bodies that came to their end, of the current fetch.
    delivered: Vec<Bytes>,
    calls: u32,
}

#[derive(Debug, Default, Clone)]
struct Misbehaving(Arc<Mutex<State>>);

impl Misbehaving {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl LinkStore for Misbehaving {
    fn upload(&self, _: Upload) -> BoxFuture<'_, Result<Uploaded>> {
        Box::pin(future::ready(Err(Error::new(ErrorKind::LinkRejected, "read only"))))
    }

    fn download<'a>(&'a self, url: &'a LinkUrl) -> BoxFuture<'a, Result<Download>> {
        let mut state = self.lock();
        state.calls += 1;
        let fault = state.script.pop().unwrap_or(Fault::None);
        let answer = match (&fault, state.files.get(url.as_str()).cloned()) {
            (Fault::Refused(kind), _) => Err(Error::new(*kind, "as the test wants it")),
            (_, None) => Err(Error::new(ErrorKind::LinkGone, "there is no such file")),
            (_, Some(file)) => {
                if file.one_shot {
                    state.files.remove(url.as_str());
                }
                Ok(self.answer(fault, file.content))
            }
        };
        Box::pin(future::ready(answer))
    }

    fn max_url_len(&self, _name: &str) -> usize {
        64
    }
}

impl Misbehaving {
    fn answer(&self, fault: Fault, content: Bytes) -> Download {
        let mut sent = content.to_vec();
        let mut announced = Some(content.len() as u64);
        match &fault {
            Fault::Short { by, announced: told } => {
                sent.truncate(sent.len().saturating_sub(*by));
                announced = if *told { announced } else { None };
            }
            Fault::Long(by) => {
                sent.extend(std::iter::repeat_n(b'x', *by));
                announced = None;
            }
            Fault::Flipped(at) if !sent.is_empty() => {
                let at = at % sent.len();
                sent[at] ^= 1;
            }
            _ => {}
        }
        Download::new(announced, Answer { state: self.clone(), fault, sent: sent.into(), at: 0 })
    }
}

/// A body in pieces of 100 bytes.
struct Answer {
    state: Misbehaving,
    fault: Fault,
    sent: Bytes,
    at: usize,
}

impl Body for Answer {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>> {
        Box::pin(async move {
            match &self.fault {
                Fault::Slow(pause) => sleep(*pause).await,
                Fault::Stalled if self.at > 0 || self.sent.is_empty() => future::pending().await,
                Fault::Broken(kind) if self.at > 0 || self.sent.is_empty() => {
                    return Err(Error::new(*kind, "as the test wants it"));
                }
                _ => {}
            }
            let piece = self.sent.slice(self.at..self.sent.len().min(self.at + 100));
            self.at += piece.len();
            if piece.is_empty() {
                self.state.lock().delivered.push(self.sent.clone());
                return Ok(None);
            }
            Ok(Some(piece))
        })
    }
}
