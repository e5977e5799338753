//! Lets requests in: `Access` with the clock, chance, metrics and log that it needs.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::lock::lock;
use crate::metrics::Metrics;
use crate::once_a_minute::OnceAMinute;
use crate::random::Random;

use super::access::{Access, AccessSettings, Need, Refusal};
use super::sessions::{Role, SessionId};

/// Decides who may do what, and counts wrong tokens. All methods return at once.
#[derive(Debug)]
pub struct Gate {
    access: Mutex<Access>,
    wrong: Mutex<OnceAMinute<()>>,
    random: Arc<dyn Random>,
    metrics: Metrics,
    /// The start of monotonic time.
    epoch: Instant,
}

impl Gate {
    /// A gate with these settings. `random` must be fit for secrets: sessions are drawn from it.
    pub fn new(settings: AccessSettings, random: Arc<dyn Random>, metrics: Metrics) -> Self {
        Self {
            access: Mutex::new(Access::new(settings)),
            wrong: Mutex::default(),
            random,
            metrics,
            epoch: Instant::now(),
        }
    }

    /// Puts new settings into force. A changed token ends every session.
    pub fn set(&self, settings: AccessSettings) {
        lock(&self.access).set(settings);
    }

    /// Whether a live answer to a request with these headers may go on: the token or the session may have
    /// ended meanwhile.
    pub(super) fn still_reads(&self, headers: &HeaderMap) -> bool {
        lock(&self.access).still_reads(headers, self.now())
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> AccessSettings {
        lock(&self.access).settings().clone()
    }

    pub(super) fn check(&self, need: Need, headers: &HeaderMap, peer: IpAddr) -> Result<(), Refusal> {
        let checked = lock(&self.access).check(need, headers, peer, self.now());
        checked.inspect_err(|refusal| self.note(*refusal, peer))
    }

    pub(super) fn role(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Option<Role>, Refusal> {
        let role = lock(&self.access).role(headers, peer, self.now());
        role.inspect_err(|refusal| self.note(*refusal, peer))
    }

    pub(super) fn log_in(&self, token: &str, peer: IpAddr) -> Result<(Role, Option<SessionId>), Refusal> {
        let id = SessionId::draw(&*self.random);
        let session = lock(&self.access).log_in(token, id, peer, self.now());
        session.inspect_err(|refusal| self.note(*refusal, peer))
    }

    pub(super) fn log_out(&self, headers: &HeaderMap) {
        lock(&self.access).log_out(headers);
    }

    fn note(&self, refusal: Refusal, peer: IpAddr) {
        if !matches!(refusal, Refusal::WrongToken | Refusal::TooManyGuesses(_)) {
            return;
        }
        self.metrics.admin_unauthorized.inc();
        if let Some(line) = lock(&self.wrong).happened((), self.now()) {
            tracing::warn!(
                times = line.times,
                last_from = %peer,
                "requests to the admin listener had a wrong token"
            );
        }
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }
}
