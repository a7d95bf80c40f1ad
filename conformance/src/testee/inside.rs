//! The engine's testee in this very process: the same code as behind the pipe, without the pipe.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Testee, Trouble};
use crate::engine;

/// A thread that answers requests with the engine.
#[derive(Debug, Default)]
pub struct Inside {
    running: Option<(Sender<Value>, Receiver<Value>)>,
    ahead: Option<Value>,
}

impl Inside {
    /// A testee that has not been started.
    pub fn new() -> Self {
        Self::default()
    }
}

fn gone() -> Trouble {
    Trouble::Crash("the engine's thread has ended".to_owned())
}

impl Testee for Inside {
    fn launch(&mut self) -> Result<(), Trouble> {
        // A thread that hangs is left alone: it ends with the process.
        let (requests, incoming) = channel::<Value>();
        let (outgoing, answers) = channel();
        thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                let mut engine = engine::Engine::new("engine");
                for request in incoming {
                    let end = request["cmd"] == "stop";
                    engine.answer(&request, &mut |answer| drop(outgoing.send(answer)));
                    if end {
                        return;
                    }
                }
            })
            .map_err(|error| Trouble::Crash(error.to_string()))?;
        self.running = Some((requests, answers));
        self.ahead = None;
        Ok(())
    }

    fn send(&mut self, request: &Value) -> Result<(), Trouble> {
        let (requests, _) = self.running.as_ref().ok_or_else(gone)?;
        requests.send(request.clone()).map_err(|_| gone())
    }

    fn receive(&mut self, within: Duration) -> Result<Value, Trouble> {
        if let Some(answer) = self.ahead.take() {
            return Ok(answer);
        }
        let (_, answers) = self.running.as_ref().ok_or_else(gone)?;
        answers.recv_timeout(within).map_err(|error| match error {
            RecvTimeoutError::Timeout => Trouble::Timeout(within),
            RecvTimeoutError::Disconnected => gone(),
        })
    }

    fn has_more(&mut self) -> bool {
        if self.ahead.is_none() {
            self.ahead = self.running.as_ref().and_then(|(_, answers)| answers.try_recv().ok());
        }
        self.ahead.is_some()
    }

    fn stop(&mut self) -> Result<(), Trouble> {
        let stopped = self.send(&json!({"cmd": "stop"}));
        self.running = None;
        stopped
    }

    fn errors(&mut self) -> String {
        String::new()
    }
}
