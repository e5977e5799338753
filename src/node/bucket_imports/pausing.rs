//! Whether a command paused an import. The journal knows it, so it lasts through restarts.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use crate::import::journal::JournalError;
use crate::import::{Importer, NameError, named, pause};
use crate::random::Random;

/// What is known of the pause of an import.
#[derive(Debug)]
pub(super) struct Pausing {
    /// Held while the journal is read or written, so that `now` follows what it says.
    turn: Mutex<()>,
    now: watch::Sender<bool>,
}

impl Default for Pausing {
    fn default() -> Self {
        Self { turn: Mutex::default(), now: watch::Sender::new(false) }
    }
}

impl Pausing {
    /// Whether it is paused, as far as the journal was read.
    pub(super) fn now(&self) -> bool {
        *self.now.borrow()
    }

    /// Waits until it is not paused.
    pub(super) async fn resumed(&self) {
        // The sender lives as long as this.
        drop(self.now.subscribe().wait_for(|paused| !paused).await);
    }

    /// Waits until it is paused.
    pub(super) async fn paused(&self) {
        drop(self.now.subscribe().wait_for(|paused| *paused).await);
    }

    /// Reads whether a command paused the import of this name.
    /// Errors: [`NameError`]: the journal cannot be read.
    pub(super) async fn read(&self, importer: &Importer, name: &str) -> Result<bool, NameError> {
        let _turn = self.turn.lock().await;
        let (journal, name) = (importer.journal(), name.to_owned());
        let read = tokio::task::spawn_blocking(move || named(&*journal, &name)).await;
        let known = read.map_err(JournalError::of)??;
        let paused = known.is_some_and(|import| import.paused);
        self.now.send_replace(paused);
        Ok(paused)
    }

    /// Pauses the import of this name, or resumes it. Errors: [`NameError`]: nothing has changed.
    pub(super) async fn set(
        &self,
        importer: Arc<Importer>,
        random: Arc<dyn Random>,
        name: &str,
        paused: bool,
    ) -> Result<(), NameError> {
        let _turn = self.turn.lock().await;
        let name = name.to_owned();
        let write = move || {
            let journal = importer.journal();
            importer.with_names(|| pause(&*journal, &name, &*random, paused))
        };
        tokio::task::spawn_blocking(write).await.map_err(JournalError::of)??;
        self.now.send_replace(paused);
        Ok(())
    }
}
