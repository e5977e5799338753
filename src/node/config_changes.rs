//! Watches the configuration for changes.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

use crate::config::{ConfigError, Loaded, Watcher};
use crate::planted_bugs::{PlantedPanic, panic_if_planted};

/// Sends each change of the configuration.
pub(super) async fn watch(watcher: Arc<Mutex<Watcher>>, new: mpsc::Sender<Result<Loaded, ConfigError>>) {
    let mut watcher = watcher.lock().await;
    loop {
        panic_if_planted(PlantedPanic::ConfigWatcher);
        if new.send(watcher.next().await).await.is_err() {
            return;
        }
    }
}
