//! A store that refuses puts, or loses the answers to puts, on request.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use forebay::boxed_future::BoxFuture;
use forebay::object::{ObjectKey, S3Location};
use forebay::store::s3::S3Store;
use forebay::store::{Fault, Head, ObjectStore, Put, Reason, StoreError, Stored};

/// What happens to a put whose key contains a given text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The put is refused.
    Refuse,
    /// The object is stored, and the put never returns.
    LoseAnswer,
}

#[derive(Debug, Default)]
struct Rules {
    rules: Vec<(String, Rule)>,
    /// Keys of stored objects whose puts never returned.
    unanswered: BTreeSet<String>,
}

/// An S3 store with rules. Clones share the rules.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    store: Arc<S3Store>,
    rules: Arc<Mutex<Rules>>,
}

impl Gate {
    pub(super) fn new(store: S3Store) -> Self {
        Self { store: Arc::new(store), rules: Arc::default() }
    }

    /// Replaces all rules.
    pub(super) fn set(&self, rules: &[(&str, Rule)]) {
        let rules = rules.iter().map(|(text, rule)| ((*text).to_owned(), *rule)).collect();
        self.lock().rules = rules;
    }

    /// Whether a put whose key contains `text` stored its object and lost the answer.
    pub(super) fn has_unanswered(&self, text: &str) -> bool {
        self.lock().unanswered.iter().any(|key| key.contains(text))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rule_of(&self, key: &str) -> Option<Rule> {
        self.lock().rules.iter().find(|(text, _)| key.contains(text.as_str())).map(|(_, rule)| *rule)
    }
}

impl ObjectStore for Gate {
    fn put<'a>(&'a self, put: &'a Put) -> BoxFuture<'a, Result<Stored, StoreError>> {
        Box::pin(async move {
            let key = put.key.as_str();
            match self.rule_of(key) {
                Some(Rule::Refuse) => {
                    let message = "the gate is closed".into();
                    Err(StoreError {
                        fault: Fault::Refused,
                        status: Some(403),
                        code: None,
                        message,
                        reason: Reason::Other,
                    })
                }
                Some(Rule::LoseAnswer) => {
                    self.store.put(put).await?;
                    self.lock().unanswered.insert(key.to_owned());
                    pending().await
                }
                None => self.store.put(put).await,
            }
        })
    }

    fn head<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
    ) -> BoxFuture<'a, Result<Head, StoreError>> {
        self.store.head(location, key)
    }
}
