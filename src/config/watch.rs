//! Detects changes of the configuration: checks the file, and the files it refers to, every 2 s and at
//! SIGHUP.

use std::time::Duration;

use tokio::sync::watch;

use super::load::{Content, Loaded, Loader};
use super::problem::ConfigError;

/// How often the files are checked.
pub const CHECK_EVERY: Duration = Duration::from_secs(2);
/// How long a changed file must stay the same before it is loaded. An editor may still be writing it, and
/// half a file can be valid with fewer sources.
pub const SETTLED_AFTER: Duration = Duration::from_millis(250);

/// Waits for changes.
#[derive(Debug)]
pub struct Watcher {
    loader: Loader,
    seen: Content,
    hangups: watch::Receiver<u64>,
    asked: bool,
    check_every: Duration,
}

impl Watcher {
    /// Watches the files that `loader` reads, starting from the state `loaded`. `hangups` changes at each
    /// SIGHUP ([`crate::runtime::shutdown::hangups`]).
    pub fn new(loader: Loader, loaded: &Loaded, hangups: watch::Receiver<u64>) -> Self {
        Self { loader, seen: loaded.content.clone(), hangups, asked: false, check_every: CHECK_EVERY }
    }

    /// Checks at this interval instead of [`CHECK_EVERY`].
    #[must_use]
    pub fn check_every(self, check_every: Duration) -> Self {
        Self { check_every, ..self }
    }

    /// Waits for a change or a SIGHUP and returns the result of loading. Each content is returned once, valid
    /// or not, so that its problems are reported once; after a SIGHUP it is returned even if unchanged.
    ///
    /// Cancel-safe: a change or signal is not lost.
    /// Errors: [`ConfigError`]: the new content is invalid. The configuration in force should stay.
    pub async fn next(&mut self) -> Result<Loaded, ConfigError> {
        loop {
            if !self.asked {
                tokio::select! {
                    () = tokio::time::sleep(self.check_every) => {}
                    () = hung_up(&mut self.hangups) => self.asked = true,
                }
            }
            let seen = self.seen.clone();
            if !self.asked && self.read(move |loader| loader.is_still(&seen)).await? {
                continue;
            }
            let (mut content, mut loaded) = self.read(Loader::look).await?;
            while !self.asked && content != self.seen {
                tokio::time::sleep(SETTLED_AFTER.min(self.check_every)).await;
                let before = content;
                (content, loaded) = self.read(Loader::look).await?;
                if content == before {
                    break;
                }
            }
            if self.asked || content != self.seen {
                self.asked = false;
                self.seen = content;
                return loaded;
            }
        }
    }

    /// The file may be on a network file system: a worker thread of the runtime must not wait for it.
    async fn read<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Loader) -> T + Send + 'static,
    ) -> Result<T, ConfigError> {
        let loader = self.loader.clone();
        let read = tokio::task::spawn_blocking(move || what(&loader)).await;
        read.map_err(|error| ConfigError::unreadable(self.loader.path(), error))
    }
}

async fn hung_up(hangups: &mut watch::Receiver<u64>) {
    if hangups.changed().await.is_err() {
        // No more signals will come, but the files must still be checked.
        std::future::pending::<()>().await;
    }
}
