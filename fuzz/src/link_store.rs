//! A store that misbehaves, and a receiver that fetches from it: held against a model of what may come of it.
//!
//! Uploads are not in it. Who tries them again and deletes what is not wanted is the bridge, which is not public below a
//! whole send with NATS, so that no fuzz target reaches it. A property beside it, in `engine/src/link/upload.rs`, holds that
//! part (retries, drops in the middle, deletions, all with faults) against its model; `scripts/faults.sh` does the whole.

use std::collections::HashMap;
use std::future;
use std::iter;
use std::mem;
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

/// Files come, change and go, and are fetched while the store answers as the bytes say: after every fetch the result is one
/// that the model allows, within the tries and the time that were given. Time is simulated.
pub(crate) fn machine(bytes: &[u8]) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(&mut Source::new(bytes)));
}

async fn run(source: &mut Source<'_>) {
    let store = Misbehaving::default();
    for id in 0..2 {
        store.lock().put(url(id), file(source));
    }
    for _ in 0..1 + source.below(8) {
        let id = source.below(3);
        match source.below(8) {
            0 => store.lock().put(url(id), file(source)),
            1 => drop(store.lock().files.remove(&url(id))),
            _ => fetch_one(source, &store, &url(id)).await,
        }
    }
}

fn file(source: &mut Source<'_>) -> File {
    // Few of the bytes that all choices are made of go into what only has to differ.
    let (len, first) = (source.below(301), source.byte());
    let content = (0..len).map(|at| first.wrapping_add((at / 2) as u8)).collect();
    File { content, one_shot: source.one_in(4), tagged: !source.one_in(3), version: 0 }
}

async fn fetch_one(source: &mut Source<'_>, store: &Misbehaving, url: &str) {
    let file = store.lock().files.get(url).cloned();
    let right = file.as_ref().map(|file| file.content.clone()).unwrap_or_default();
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
    let last_begin = source.one_in(2).then(|| Duration::from_millis(source.below(5000) as u64));
    let retry = Retry::default().max_retries(max_retries).total(last_begin);
    let options = FetchOptions::default()
        .retry(retry)
        .total(total)
        .seed(u64::from(source.byte()))
        .max_len(if source.one_in(8) { source.below(200) as u64 } else { 1 << 20 })
        .refuse_unverified(source.one_in(8));
    let turns: Vec<Turn> = (0..1 + source.below(8)).map(|_| Turn::of(source, total.is_some())).collect();
    let piece = source.pick(&[100, 1, 7, 64, 300]);
    store.lock().begin(turns, piece);

    let begun = Instant::now();
    let link = LinkUrl::parse(url).expect("a link of the test's own");
    let result = fetch(store, &link, &expected, &options).await;
    let took = begun.elapsed();

    let state = store.lock();
    // A part that is none of what was asked for costs a second request in the same try, and no more than one.
    let tries = state.tries();
    assert!(tries <= 1 + max_retries, "{tries} tries with {max_retries} retries");
    assert!(state.passed_over < tries.max(1), "{} requests in {tries} tries", state.calls);
    // The simulated clock has whole milliseconds.
    const TICK: Duration = Duration::from_millis(2);
    if let Some(total) = total {
        assert!(took <= total + TICK, "{took:?} of {total:?}");
    }
    if let (Some(last), Some(latest)) = (last_begin, state.last_try) {
        let after = latest - begun;
        assert!(after <= last + TICK, "a try began after {after:?} of {last:?}");
    }
    let satisfies = |bytes: &[u8]| {
        let len = bytes.len() as u64;
        let right = match digest {
            Some(digest) => <[u8; 32]>::from(Sha256::digest(bytes)) == digest,
            None => size.is_none_or(|size| size == len),
        };
        right && len <= options.max_len
    };
    match result {
        Ok(fetched) => {
            assert_eq!(fetched.attempts, tries);
            assert_eq!(state.delivered.last(), Some(&fetched.bytes), "bytes that no try has brought");
            assert!(satisfies(&fetched.bytes), "not what was declared");
            // Without a digest a store is believed that calls two contents by one name.
            let versions = &state.pass.versions;
            let one = versions.windows(2).all(|pair| pair[0] == pair[1]);
            assert!(one || digest.is_some() || state.pass.forged, "parts of several files");
            let verified = match (digest, size) {
                (Some(_), _) => Verified::Digest,
                (None, Some(_)) => Verified::Length,
                (None, None) => Verified::Unverified,
            };
            assert_eq!(fetched.verified, verified);
            assert!(!options.refuse_unverified || verified != Verified::Unverified);
            assert_eq!(fetched.size_mismatch, size.is_some_and(|size| size != fetched.bytes.len() as u64));
            assert!(file.is_some(), "a file that is not there was fetched");
        }
        Err(error) if state.calls == 0 => {
            assert!(
                matches!(error.kind(), ErrorKind::LinkUnverified | ErrorKind::LimitExceeded),
                "{error:?}"
            );
        }
        Err(error) => {
            assert!(error.attempts().is_none_or(|attempts| attempts == tries), "{error:?}");
            // It gives up early only where another try cannot help, or has no time.
            let no_time =
                total.is_some() || last_begin.is_some_and(|last| took + retry.max_delay + TICK >= last);
            assert!(
                tries == 1 + max_retries || !error.is_retryable() || no_time,
                "{error:?} after {tries} tries"
            );
            // No try had an answer that brings, or has brought, just what was declared.
            let good = state.good.iter().chain(&state.delivered).find(|bytes| satisfies(bytes));
            assert!(good.is_none(), "a good try was refused: {error:?}");
        }
    }
}

fn url(id: usize) -> String {
    format!("http://files/{id}")
}

/// What happens to one request.
#[derive(Debug, Clone)]
struct Turn {
    fault: Fault,
    /// How it is answered if it asks for the rest of a file.
    rest: Rest,
    /// Once the answer is made, another file of about that length takes the place of the one that is there.
    changes: Option<isize>,
}

impl Turn {
    fn of(source: &mut Source<'_>, may_stall: bool) -> Self {
        let fault = Fault::of(source, may_stall);
        let rest = Rest::of(source);
        let changes = source.one_in(6).then(|| source.pick(&[0, 0, 1, -1]));
        Self { fault, rest, changes }
    }
}

/// What goes wrong with one answer.
#[derive(Debug, Clone)]
enum Fault {
    None,
    /// An error instead of an answer; some servers say when to come back.
    Refused(ErrorKind, Option<Duration>),
    /// The answer takes its time to begin.
    Late(Duration),
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
        match source.below(14) {
            1 => {
                let kind = source.pick(&kinds);
                let wait = source.one_in(4).then(|| Duration::from_millis(source.below(9000) as u64));
                Self::Refused(kind, wait)
            }
            2 => Self::Short { by: 1 + source.below(9), announced: source.one_in(2) },
            3 => Self::Long(1 + source.below(9)),
            4 => Self::Flipped(source.below(300)),
            5 => Self::Broken(source.pick(&kinds)),
            6 if may_stall => Self::Stalled,
            7 => Self::Slow(Duration::from_millis(source.below(3000) as u64)),
            8 => Self::Late(Duration::from_millis(source.below(3000) as u64)),
            9..=11 => Self::Broken(ErrorKind::Network),
            _ => Self::None,
        }
    }
}

/// What comes when the rest of a file is asked for.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// The rest, or the whole where the file is another one now.
    Right,
    /// The whole, as of a server that knows no ranges.
    Whole,
    /// A part that begins elsewhere.
    Elsewhere(i64),
    /// The rest of a file that is said to have another length, or none.
    Resized(Option<u64>),
    /// The rest of another file under the name that was asked for, or under its own.
    Forged { renamed: bool },
}

impl Rest {
    fn of(source: &mut Source<'_>) -> Self {
        match source.below(10) {
            5 => Self::Whole,
            6 => Self::Elsewhere(source.pick(&[1, -1, 100, -100, i64::MAX])),
            7 => Self::Resized((!source.one_in(3)).then(|| 1 + source.below(9) as u64)),
            8 => Self::Forged { renamed: false },
            9 => Self::Forged { renamed: true },
            _ => Self::Right,
        }
    }
}

#[derive(Debug, Clone)]
struct File {
    content: Bytes,
    one_shot: bool,
    /// Whether its content has a name, so that the rest of it can be asked for.
    tagged: bool,
    /// Stands for the content; no two have the same.
    version: u32,
}

impl File {
    fn tag(&self) -> Option<String> {
        self.tagged.then(|| self.version.to_string())
    }
}

/// What the receiver has of a file: one answer from its beginning, and what was joined to it.
#[derive(Debug, Default)]
struct Pass {
    bytes: Vec<u8>,
    /// The length that was announced.
    announced: Option<u64>,
    /// By which the rest can be asked for.
    tag: Option<String>,
    /// Which files the parts are of.
    versions: Vec<u32>,
    /// Whether a part is not of the file that it was said to be of.
    forged: bool,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<String, File>,
    versions: u32,
    /// The turns to come, the next one last.
    script: Vec<Turn>,
    /// The most bytes that come at once.
    piece: usize,
    pass: Pass,
    /// Passes that came to their announced end, of the current fetch.
    delivered: Vec<Bytes>,
    /// What the answers without a fault would bring.
    good: Vec<Bytes>,
    calls: u32,
    /// Answers that are no part of what was asked for.
    passed_over: u32,
    /// Whether the last answer was one.
    same_try: bool,
    last_try: Option<Instant>,
}

impl State {
    fn put(&mut self, url: String, mut file: File) {
        self.versions += 1;
        file.version = self.versions;
        self.files.insert(url, file);
    }

    fn begin(&mut self, mut turns: Vec<Turn>, piece: usize) {
        turns.reverse();
        (self.script, self.piece, self.pass) = (turns, piece, Pass::default());
        (self.delivered, self.good) = (Vec::new(), Vec::new());
        (self.calls, self.passed_over, self.same_try, self.last_try) = (0, 0, false, None);
    }

    fn tries(&self) -> u32 {
        self.calls - self.passed_over
    }

    /// A request comes in.
    fn called(&mut self) -> Turn {
        self.calls += 1;
        if !mem::take(&mut self.same_try) {
            self.last_try = Some(Instant::now());
        }
        self.script.pop().unwrap_or(Turn { fault: Fault::None, rest: Rest::Right, changes: None })
    }
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
        assert!(
            state.pass.tag.is_none() || state.pass.bytes.is_empty(),
            "begun again where it could have gone on"
        );
        let turn = state.called();
        Box::pin(self.answer(url, turn, None))
    }

    fn resume<'a>(
        &'a self,
        url: &'a LinkUrl,
        from: u64,
        validator: &'a str,
    ) -> BoxFuture<'a, Result<Download>> {
        let mut state = self.lock();
        assert_eq!(from, state.pass.bytes.len() as u64, "the rest of what has come");
        assert!(from > 0 && state.pass.tag.as_deref() == Some(validator), "the rest of another file");
        let turn = state.called();
        Box::pin(self.answer(url, turn, Some(validator)))
    }

    fn max_url_len(&self, _name: &str) -> usize {
        64
    }
}

impl Misbehaving {
    /// The answer to one request; for the rest of the file that `asked` is the name of, if it is.
    async fn answer(&self, url: &LinkUrl, turn: Turn, asked: Option<&str>) -> Result<Download> {
        if let Fault::Late(time) = turn.fault {
            sleep(time).await;
        }
        let mut state = self.lock();
        if let Fault::Refused(kind, wait) = turn.fault {
            let error = Error::new(kind, "as the test wants it");
            return Err(match wait {
                Some(wait) => error.with_retry_after(wait),
                None => error,
            });
        }
        let Some(file) = state.files.get(url.as_str()).cloned() else {
            return Err(Error::new(ErrorKind::LinkGone, "there is no such file"));
        };
        if file.one_shot {
            state.files.remove(url.as_str());
        } else if let Some(by) = turn.changes {
            let mut content: Vec<u8> = file.content.iter().map(|byte| byte ^ 0x55).collect();
            content.resize(content.len().saturating_add_signed(by), b'y');
            state.put(url.as_str().to_owned(), File { content: content.into(), ..file.clone() });
        }

        let have = state.pass.bytes.len();
        let (mut announced, mut version, mut tag) = (file.content.len() as u64, file.version, file.tag());
        let (mut content, mut offset, mut forged, mut resized) = (file.content.to_vec(), 0, false, false);
        if let Some(asked) = asked {
            let same = tag.as_deref() == Some(asked);
            match turn.rest {
                Rest::Right if same => offset = have as u64,
                Rest::Right | Rest::Whole => {}
                Rest::Elsewhere(by) => {
                    // Not 0, which is said of the whole.
                    offset = (have as u64).saturating_add_signed(by).max(1);
                    forged = !same;
                }
                Rest::Resized(by) => {
                    offset = have as u64;
                    announced = state.pass.announced.unwrap_or_default() + by.unwrap_or_default();
                    (resized, forged) = (by.is_none(), !same);
                }
                Rest::Forged { renamed } => {
                    let len = state.pass.announced.map_or(content.len(), |len| len as usize);
                    content = (0..len).map(|at| !content.get(at).copied().unwrap_or_default()).collect();
                    (offset, announced, forged) = (have as u64, len as u64, true);
                    (version, tag) = (0, Some(if renamed { "other" } else { asked }.to_owned()));
                }
            }
        }
        let begins = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let mut sent = content.split_off(begins);
        let mut announced = Some(announced).filter(|_| !resized);
        match &turn.fault {
            Fault::Short { by, announced: told } => {
                sent.truncate(sent.len().saturating_sub(*by));
                announced = announced.filter(|_| *told);
            }
            Fault::Long(by) => {
                sent.extend(iter::repeat_n(b'x', *by));
                announced = None;
            }
            Fault::Flipped(at) if !sent.is_empty() => {
                let at = at % sent.len();
                sent[at] ^= 1;
            }
            _ => {}
        }
        let renamed = tag.as_deref().is_some_and(|tag| Some(tag) != asked);
        let useless = offset != 0 && (renamed || offset != have as u64 || announced != state.pass.announced);
        if useless {
            state.passed_over += 1;
            state.same_try = true;
            // The receiver has lost its trust in the name.
            state.pass.tag = None;
        } else if matches!(turn.fault, Fault::None) {
            let before = if offset == 0 { &[][..] } else { &state.pass.bytes };
            let whole = [before, &sent].concat();
            state.good.push(whole.into());
        }
        let answer = Answer {
            state: self.clone(),
            fault: turn.fault,
            part: Part { offset, announced, tag: tag.clone(), version, forged, useless },
            sent: sent.into(),
            at: 0,
            read: false,
        };
        let download = Download::new(announced, answer).starting_at(offset);
        Ok(match tag {
            Some(tag) => download.with_validator(tag),
            None => download,
        })
    }
}

/// What an answer is a part of.
struct Part {
    offset: u64,
    announced: Option<u64>,
    tag: Option<String>,
    version: u32,
    forged: bool,
    useless: bool,
}

/// A body in pieces.
struct Answer {
    state: Misbehaving,
    fault: Fault,
    part: Part,
    sent: Bytes,
    at: usize,
    /// Whether anything was asked for.
    read: bool,
}

impl Answer {
    /// The receiver takes this answer: as a file from its beginning, or with what it has.
    fn taken(&mut self) {
        let Part { offset, announced, ref tag, version, forged, useless } = self.part;
        assert!(!useless, "a part of something else is read");
        let mut state = self.state.lock();
        if offset == 0 {
            state.pass = Pass { announced, ..Pass::default() };
        }
        state.pass.tag.clone_from(tag);
        state.pass.versions.push(version);
        state.pass.forged |= forged;
    }
}

impl Body for Answer {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>> {
        Box::pin(async move {
            if !mem::replace(&mut self.read, true) {
                self.taken();
            }
            match &self.fault {
                Fault::Slow(pause) => sleep(*pause).await,
                Fault::Stalled if self.at > 0 || self.sent.is_empty() => future::pending().await,
                Fault::Broken(kind) if self.at > 0 || self.sent.is_empty() => {
                    return Err(Error::new(*kind, "as the test wants it"));
                }
                _ => {}
            }
            let mut state = self.state.lock();
            let piece = self.sent.slice(self.at..self.sent.len().min(self.at + state.piece));
            self.at += piece.len();
            if piece.is_empty() {
                let len = state.pass.bytes.len() as u64;
                if state.pass.announced.is_none_or(|announced| announced == len) {
                    let whole = Bytes::copy_from_slice(&state.pass.bytes);
                    state.delivered.push(whole);
                }
                // What has ended has no rest.
                state.pass.tag = None;
                return Ok(None);
            }
            state.pass.bytes.extend_from_slice(&piece);
            Ok(Some(piece))
        })
    }
}
