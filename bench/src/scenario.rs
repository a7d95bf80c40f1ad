//! What is measured: scenarios, each with its contestants, and the answer that each of them must give.

use std::fmt;

/// One task on one input, which several contestants do.
pub struct Scenario {
    /// `layer/operation/input/size`.
    pub name: String,
    /// Raw payload bytes that one operation moves; 0 where throughput means nothing.
    pub bytes: u64,
    /// Whether the gate counts it: one of a few small ones, which together show every path.
    pub gated: bool,
    build: Box<dyn Fn() -> Vec<Contestant>>,
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Scenario {
    /// A scenario whose inputs are made by `build`, when they are needed.
    pub fn new(name: String, bytes: usize, build: impl Fn() -> Vec<Contestant> + 'static) -> Self {
        Self { name, bytes: bytes as u64, gated: false, build: Box::new(build) }
    }

    /// Has the gate count it, or not.
    pub fn gated(self, gated: bool) -> Self {
        Self { gated, ..self }
    }

    /// The names of its contestants.
    pub fn names(&self) -> Vec<String> {
        (self.build)().into_iter().map(|contestant| contestant.name).collect()
    }

    /// Makes the inputs, and has every contestant that `wanted` accepts do the task once.
    ///
    /// # Errors
    /// Names the contestant whose answer is wrong. Nothing is to be timed then.
    pub fn checked(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Contestant>, String> {
        let mut contestants = (self.build)();
        contestants.retain(|contestant| wanted(&contestant.name));
        for contestant in &mut contestants {
            contestant.check().map_err(|wrong| format!("{}/{}: {wrong}", self.name, contestant.name))?;
        }
        Ok(contestants)
    }
}

/// One way of doing a task.
pub struct Contestant {
    /// `natsbridge`, or the rival's name.
    pub name: String,
    expected: Vec<u8>,
    work: Box<dyn Work>,
}

impl fmt::Debug for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contestant").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Contestant {
    /// Whether this is the engine, and no rival.
    pub fn is_own(&self) -> bool {
        self.name.starts_with("natsbridge")
    }

    /// Works on `state`: `run` does the task once and leaves its result there, where `answer` finds it.
    pub fn new<S: 'static>(
        name: impl Into<String>,
        expected: &[u8],
        state: S,
        run: impl FnMut(&mut S) + 'static,
        answer: impl Fn(&S) -> Vec<u8> + 'static,
    ) -> Self {
        Self { name: name.into(), expected: expected.to_vec(), work: Box::new(Job { state, run, answer }) }
    }

    /// Does the task so many times.
    pub fn run(&mut self, times: u64) {
        self.work.run(times);
    }

    fn check(&mut self) -> Result<(), String> {
        // Twice: what is reused must not change the answer.
        for _ in 0..2 {
            self.work.run(1);
            let answer = self.work.answer();
            if answer != self.expected {
                let at = answer.iter().zip(&self.expected).take_while(|(a, b)| a == b).count();
                return Err(format!(
                    "{} bytes instead of {}, different from byte {at} on",
                    answer.len(),
                    self.expected.len()
                ));
            }
        }
        Ok(())
    }
}

trait Work {
    fn run(&mut self, times: u64);
    fn answer(&self) -> Vec<u8>;
}

struct Job<S, R, A> {
    state: S,
    run: R,
    answer: A,
}

impl<S, R: FnMut(&mut S), A: Fn(&S) -> Vec<u8>> Work for Job<S, R, A> {
    // The loop is inside, so that there is no indirect call in what is timed.
    fn run(&mut self, times: u64) {
        for _ in 0..times {
            (self.run)(std::hint::black_box(&mut self.state));
        }
    }

    fn answer(&self) -> Vec<u8> {
        (self.answer)(&self.state)
    }
}
