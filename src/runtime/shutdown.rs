//! Signals: the first SIGTERM or SIGINT requests an orderly shutdown, the second an immediate one, SIGHUP a
//! reload.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::planted_bugs::{PlantedPanic, panic_if_planted};
use crate::tasks::{Supervised, keep};

/// The two stages of a shutdown. Every task holds a clone of the first token; tasks that drain also watch the
/// second.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Take no more work, finish requests in flight, deliver, exit 0.
    pub orderly: CancellationToken,
    /// Stop at once. Acknowledged calls stay in the spool. Implies `orderly`.
    pub immediate: CancellationToken,
}

/// What is logged when a signal moves to a stage.
#[derive(Clone, Copy, Debug)]
pub struct StageWords {
    /// After the name of the signal that requests an orderly shutdown.
    pub orderly: &'static str,
    /// After the name of the signal that requests an immediate one.
    pub immediate: &'static str,
}

/// The words of a process that takes calls or delivers them.
const NODE_WORDS: StageWords = StageWords {
    orderly: "finishing requests in flight and delivering buffered calls",
    immediate: "stopping at once; undelivered calls stay in the spool",
};

impl Shutdown {
    /// No stage requested, and no signal listened for: for tests and for tasks that stop by themselves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves to the next stage.
    pub fn advance(&self) {
        if self.orderly.is_cancelled() {
            self.immediate.cancel();
        }
        self.orderly.cancel();
    }

    /// Listens for SIGTERM and SIGINT until both stages are reached. Drop the handle to stop listening. Also
    /// ignores signals that other programs use and that would end this process by default.
    /// Errors: the operating system refuses the signal handlers.
    pub fn listen(&self) -> io::Result<AbortOnDropHandle<()>> {
        self.listen_saying(NODE_WORDS)
    }

    /// As [`Self::listen`], for a process that does something else when it is stopped.
    /// Errors: as [`Self::listen`].
    pub fn listen_saying(&self, words: StageWords) -> io::Result<AbortOnDropHandle<()>> {
        for kind in [SignalKind::user_defined1(), SignalKind::user_defined2(), SignalKind::alarm()] {
            // The handler stays installed for the life of the process, and is never queried.
            drop(signal(kind)?);
        }
        let signals =
            Arc::new(Mutex::new((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)));
        let shutdown = self.clone();
        let start = move || shutdown.clone().hear(Arc::clone(&signals), words);
        Ok(AbortOnDropHandle::new(tokio::spawn(keep(Supervised::unalarmed(), start))))
    }

    async fn hear(self, signals: Arc<Mutex<(Signal, Signal)>>, words: StageWords) {
        let (terminate, interrupt) = &mut *signals.lock().await;
        while !self.immediate.is_cancelled() {
            panic_if_planted(PlantedPanic::Signals);
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            self.advance();
            if self.immediate.is_cancelled() {
                tracing::warn!("{name} again: {}", words.immediate);
            } else {
                tracing::info!("{name}: {}", words.orderly);
            }
        }
    }
}

/// The number of SIGHUPs so far, as a channel that any number of tasks can await. Drop the handle to stop
/// listening. Errors: the operating system refuses the signal handler.
pub fn hangups() -> io::Result<(watch::Receiver<u64>, AbortOnDropHandle<()>)> {
    let hangup = Arc::new(Mutex::new(signal(SignalKind::hangup())?));
    let (count, receiver) = watch::channel(0);
    let start = move || count_signals(Arc::clone(&hangup), count.clone());
    Ok((receiver, AbortOnDropHandle::new(tokio::spawn(keep(Supervised::unalarmed(), start)))))
}

async fn count_signals(signal: Arc<Mutex<Signal>>, count: watch::Sender<u64>) {
    let mut signal = signal.lock().await;
    loop {
        panic_if_planted(PlantedPanic::Hangups);
        if signal.recv().await.is_none() {
            return;
        }
        count.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_is_orderly_and_the_second_immediate() {
        let shutdown = Shutdown::new();
        let stages = |s: &Shutdown| (s.orderly.is_cancelled(), s.immediate.is_cancelled());
        assert_eq!(stages(&shutdown), (false, false));
        shutdown.clone().advance();
        assert_eq!(stages(&shutdown), (true, false));
        shutdown.advance();
        assert_eq!(stages(&shutdown), (true, true));
    }

    #[tokio::test]
    async fn every_waiting_task_sees_each_hangup() {
        let (mut first, _listening) = hangups().unwrap();
        let mut second = first.clone();
        for _ in 0..2 {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
            for receiver in [&mut first, &mut second] {
                let changed = tokio::time::timeout(std::time::Duration::from_secs(20), receiver.changed());
                changed.await.unwrap().unwrap();
            }
        }
    }
}
