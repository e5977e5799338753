//! What all connections of a collector share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backlog::Backlog;
use super::budget::Shares;
use super::settings::{CollectorDeps, CollectorSettings, Policy};
use super::unread_answers::UnreadAnswers;
use super::waiting_bodies::WaitingBodies;
use crate::ingest::Ingest;

/// The state that all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) deps: CollectorDeps,
    pub(super) settings: CollectorSettings,
    pub(super) policy: ArcSwap<Policy>,
    pub(super) ingest: Arc<Ingest>,
    /// Open requests.
    pub(super) requests: TaskTracker,
    pub(super) draining: CancellationToken,
    pub(super) waiting: WaitingBodies,
    pub(super) unread: Arc<UnreadAnswers>,
    pub(super) backlog: Backlog,
}

impl Shared {
    pub(super) fn new(deps: CollectorDeps, settings: CollectorSettings, policy: Policy) -> Self {
        Self {
            ingest: Arc::clone(&deps.ingest),
            waiting: WaitingBodies::new(Shares {
                all: settings.bounds.bodies_bytes,
                unknown: settings.bounds.bodies_bytes / 2,
                address: settings.bounds.address_bodies_bytes,
            }),
            unread: Arc::new(UnreadAnswers::new(settings.bounds.answers_bytes)),
            backlog: Backlog::default(),
            deps,
            settings,
            policy: ArcSwap::from_pointee(policy),
            requests: TaskTracker::new(),
            draining: CancellationToken::new(),
        }
    }
}
