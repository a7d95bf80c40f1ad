//! A client of a real NATS server that sees all messages, delivers those of a script, and answers requests by it: what
//! [`NatsPeer`](super::nats::NatsPeer) does, with the server's own rules in between.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::nats::{Delivery, Published, answers_to};

/// A connected recorder; it lets go when it is dropped.
#[derive(Debug)]
pub struct Recorder {
    url: String,
    out: TcpStream,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    answers: Vec<Delivery>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    published: Vec<Published>,
    /// What the recorder itself has published, and sees again.
    own: Vec<(String, Vec<u8>)>,
    pongs: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// Connects to a server such as `nats://127.0.0.1:4222`, and subscribes to everything.
    ///
    /// # Errors
    /// If there is no such server.
    pub fn connect(url: &str, answers: Vec<Delivery>) -> std::io::Result<Self> {
        let stream = TcpStream::connect(url.trim_start_matches("nats://"))?;
        stream.set_nodelay(true)?;
        let mut out = stream.try_clone()?;
        out.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\nSUB > 1\r\n")?;
        let shared = Arc::new(Shared { answers, state: Mutex::default() });
        let (reading, answering) = (Arc::clone(&shared), out.try_clone()?);
        thread::spawn(move || drop(read(&reading, BufReader::new(stream), answering)));
        let recorder = Self { url: url.to_owned(), out, shared };
        recorder.flush()?;
        Ok(recorder)
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What was published so far by others, but for messages to inboxes, with which clients ask for round trips.
    pub fn published(&self) -> Vec<Published> {
        // What a testee has published before it answered is at the server, and is here after a round trip.
        let _ = self.flush();
        self.shared.state().published.clone()
    }

    /// Delivers a message.
    pub fn publish(&self, message: &Delivery) {
        self.shared.state().own.push((message.subject.clone(), message.body.clone()));
        // A server that is gone shows in what does not arrive.
        let _ = publish(&self.out, message);
    }

    fn flush(&self) -> std::io::Result<()> {
        let before = self.shared.state().pongs;
        (&self.out).write_all(b"PING\r\n")?;
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.shared.state().pongs == before {
            if Instant::now() > deadline {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.out.shutdown(Shutdown::Both);
    }
}

fn publish(mut out: &TcpStream, message: &Delivery) -> std::io::Result<()> {
    let reply = message.reply.as_deref().map(|reply| format!(" {reply}")).unwrap_or_default();
    let line = format!("PUB {}{reply} {}\r\n", message.subject, message.body.len());
    out.write_all(&[line.as_bytes(), &message.body, b"\r\n"].concat())
}

fn read(shared: &Shared, mut input: BufReader<TcpStream>, out: TcpStream) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        if input.by_ref().take(64 * 1024).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (subject, reply, headers, len) = match words.as_slice() {
            ["PING"] => {
                (&out).write_all(b"PONG\r\n")?;
                continue;
            }
            ["PONG"] => {
                shared.state().pongs += 1;
                continue;
            }
            ["MSG", subject, _, len] => (*subject, None, "0", *len),
            ["MSG", subject, _, reply, len] => (*subject, Some((*reply).to_owned()), "0", *len),
            ["HMSG", subject, _, headers, len] => (*subject, None, *headers, *len),
            ["HMSG", subject, _, reply, headers, len] => {
                (*subject, Some((*reply).to_owned()), *headers, *len)
            }
            _ => continue,
        };
        let len: usize = len.parse().map_err(|_| std::io::ErrorKind::InvalidData)?;
        let mut body = Vec::new();
        input.by_ref().take(len as u64 + 2).read_to_end(&mut body)?;
        body.truncate(len);
        let tail = body.split_off(headers.parse().unwrap_or(0).min(body.len()));
        let message = Published { subject: subject.to_owned(), reply, headers: body, body: tail };
        let mut state = shared.state();
        let own =
            state.own.iter().position(|(subject, body)| *subject == message.subject && *body == message.body);
        if let Some(index) = own {
            state.own.remove(index);
        } else if !message.subject.starts_with("_INBOX.") {
            if let Some(reply) = &message.reply {
                for mut answer in answers_to(&shared.answers, &message) {
                    answer.subject.clone_from(reply);
                    state.own.push((answer.subject.clone(), answer.body.clone()));
                    publish(&out, &answer)?;
                }
            }
            state.published.push(message);
        }
    }
}
