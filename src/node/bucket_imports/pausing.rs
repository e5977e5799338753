//! Whether a command paused an import. The journal knows it, so it lasts through restarts.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::one_import::OneImport;
use crate::admin::{BucketImportError, Paused};
use crate::import::journal::JournalError;
use crate::import::{NameError, named, pause};

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
}

impl OneImport {
    /// Whether a command paused it. Errors: [`NameError`]: the journal cannot be read.
    pub(super) async fn is_paused(&self) -> Result<bool, NameError> {
        let _turn = self.pausing.turn.lock().await;
        let (journal, name) = (self.deps.importer.journal(), self.name().to_owned());
        let read = tokio::task::spawn_blocking(move || named(&*journal, &name)).await;
        let known = read.map_err(JournalError::of)??;
        let paused = known.is_some_and(|import| import.paused);
        self.pausing.now.send_replace(paused);
        Ok(paused)
    }

    /// Pauses it, or resumes it. A pass under way stops at its next step.
    /// Errors: [`BucketImportError`]: nothing has changed.
    pub(super) async fn pause(&self, paused: bool) -> Result<Paused, BucketImportError> {
        let _turn = self.pausing.turn.lock().await;
        let (importer, random) = (Arc::clone(&self.deps.importer), Arc::clone(&self.deps.random));
        let name = self.name().to_owned();
        let written = tokio::task::spawn_blocking(move || {
            let journal = importer.journal();
            importer.with_names(|| pause(&*journal, &name, &*random, paused))
        });
        let failed = |what: String| BucketImportError::Failed(what);
        written
            .await
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))?;
        self.pausing.now.send_replace(paused);
        if paused {
            self.end_pass();
        }
        Ok(Paused { name: self.name().to_owned(), paused, enabled: self.plan().settings.enabled })
    }
}
