//! Whether a pass can claim objects of a bucket that several instances share.

use std::sync::{Arc, Mutex};

use crate::import::claims::{ClaimsError, Outage, SharedImport};
use crate::lock::lock;
use crate::words::Told;

/// The claims of one pass.
#[derive(Debug)]
pub(super) struct PassClaims {
    pub(super) shared: Arc<SharedImport>,
    /// Why nothing new is claimed.
    problem: Mutex<Option<Outage>>,
}

impl PassClaims {
    pub(super) fn new(shared: &Arc<SharedImport>) -> Self {
        Self { shared: Arc::clone(shared), problem: Mutex::default() }
    }

    /// Claims nothing new from now on. Errors: it is another error than that of the shared journal's store.
    pub(super) fn failed(&self, error: ClaimsError) -> Result<(), ClaimsError> {
        match error {
            ClaimsError::Unusable(why) => {
                lock(&self.problem).get_or_insert(why);
                Ok(())
            }
            other => Err(other),
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        lock(&self.problem).is_none()
    }

    /// Claims nothing new from now on, whatever the error is.
    pub(super) fn stop(&self, error: ClaimsError) {
        if let Err(error) = self.failed(error) {
            let told = Told::plain(error.to_string());
            lock(&self.problem).get_or_insert(Outage { told, passes: false });
        }
    }

    /// Why nothing new is claimed.
    pub(super) fn problem(&self) -> Option<Outage> {
        lock(&self.problem).clone()
    }
}
