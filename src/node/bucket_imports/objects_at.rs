//! The objects of one import, for who names them one by one: in a running node, or in the spool of the configuration.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::one_import::OneImport;
use super::reached::{At, ImportsAt, one_import, post, refused};
use crate::admin::{AskedObject, BucketImportError, ObjectImported};
use crate::admin_client::AdminClient;
use crate::node::error::NodeError;
use crate::sources::SourceId;

/// How much longer than the time of an object its answer is waited for: the step under way ends first.
const ANSWER_AFTER: Duration = Duration::from_secs(30);

/// The objects of one import.
#[derive(Debug)]
pub enum ObjectsAt {
    /// In a running node.
    Node(Box<AdminClient>),
    /// In a spool that this process opened.
    Spool(Box<InSpool>),
}

/// An import in a spool that this process opened.
#[derive(Debug)]
pub struct InSpool {
    import: OneImport,
    at: ImportsAt,
}

impl ObjectsAt {
    /// The objects of the import with this name. `stop` stops imports into a spool of this process at their next step.
    /// Errors: [`NodeError`]: there is no such import, it is paused, or nothing can be asked.
    pub async fn of(at: ImportsAt, name: &SourceId, stop: CancellationToken) -> Result<Self, NodeError> {
        for status in at.status(Some(name)).await? {
            match (status.enabled, status.paused) {
                (false, _) => return Err(refused(BucketImportError::Paused(name.to_string()))),
                (true, true) => return Err(refused(BucketImportError::OnHold(name.to_string()))),
                (true, false) => {}
            }
        }
        Ok(match at.0 {
            At::Node(client) => Self::Node(client),
            At::Spool(spool, config) => {
                let import = one_import(&spool, &config, name, stop)?;
                Self::Spool(Box::new(InSpool { import, at: ImportsAt(At::Spool(spool, config)) }))
            }
        })
    }

    /// Imports one object. In a node it goes on if the future is dropped.
    /// Errors: [`NodeError`]: nothing can be asked, or the import cannot be used.
    pub async fn import(&self, asked: &AskedObject) -> Result<ObjectImported, NodeError> {
        match self {
            Self::Node(client) => {
                let path = format!("/api/imports/{}/object?{}", asked.name, asked.query());
                let patience = Duration::from_millis(asked.within_ms).saturating_add(ANSWER_AFTER);
                post(client, &path, patience).await
            }
            Self::Spool(spool) => spool.import.object(asked).await.map_err(refused),
        }
    }

    /// Delivers what a spool of this process holds, and closes it.
    /// Errors: [`NodeError`]: something is left. It is safe in the spool.
    pub async fn end(self) -> Result<(), NodeError> {
        match self {
            Self::Node(_) => Ok(()),
            Self::Spool(spool) => {
                let InSpool { import, at } = *spool;
                drop(import);
                at.end(true).await
            }
        }
    }
}
