//! Notices that the configuration has changed: the file and the files it refers to are looked at every 2 s, and at once
//! on SIGHUP.

use std::time::Duration;

use tokio::sync::watch;

use super::load::{Content, Loaded, Loader};
use super::problem::ConfigError;

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a changed file must stay the same before it is taken: an editor may be half-way through writing it, and half
/// a file can be a right one with fewer sources.
pub const SETTLED_AFTER: Duration = Duration::from_millis(250);

/// Waits for changes.
#[derive(Debug)]
pub struct Watcher {
    loader: Loader,
    seen: Content,
    hangups: watch::Receiver<u64>,
    asked: bool,
    look_every: Duration,
}

impl Watcher {
    /// Watches what `loader` reads, from the state of `loaded` on. `hangups` changes at each SIGHUP
    /// ([`crate::runtime::shutdown::hangups`]).
    pub fn new(loader: Loader, loaded: &Loaded, hangups: watch::Receiver<u64>) -> Self {
        Self { loader, seen: loaded.content.clone(), hangups, asked: false, look_every: LOOK_EVERY }
    }

    /// Looks this often instead of every [`LOOK_EVERY`].
    #[must_use]
    pub fn look_every(self, look_every: Duration) -> Self {
        Self { look_every, ..self }
    }

    /// Waits until the content changed, or until SIGHUP, and gives what it now says. The same content is given once,
    /// right or wrong, so that what is wrong is said once; after SIGHUP it is given anyway.
    ///
    /// Cancel-safe: a change or a signal that was noticed is noticed again.
    ///
    /// # Errors
    /// [`ConfigError`]: the new content cannot be used, and what is in force should stay so.
    pub async fn next(&mut self) -> Result<Loaded, ConfigError> {
        loop {
            if !self.asked {
                tokio::select! {
                    () = tokio::time::sleep(self.look_every) => {}
                    () = hung_up(&mut self.hangups) => self.asked = true,
                }
            }
            let seen = self.seen.clone();
            if !self.asked && self.read(move |loader| loader.is_still(&seen)).await? {
                continue;
            }
            let (mut content, mut loaded) = self.read(Loader::look).await?;
            while !self.asked && content != self.seen {
                tokio::time::sleep(SETTLED_AFTER.min(self.look_every)).await;
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

    /// The file may lie on a network: a worker thread of the runtime must not wait for it.
    async fn read<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Loader) -> T + Send + 'static,
    ) -> Result<T, ConfigError> {
        let loader = self.loader.clone();
        tokio::task::spawn_blocking(move || what(&loader)).await.map_err(|error| {
            let file = self.loader.path().display().to_string();
            ConfigError::of_file(file, format!("cannot be read: {error}"))
        })
    }
}

async fn hung_up(hangups: &mut watch::Receiver<u64>) {
    if hangups.changed().await.is_err() {
        // Nobody will signal any more; the files are still looked at.
        std::future::pending::<()>().await;
    }
}
