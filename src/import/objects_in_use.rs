//! The objects of buckets that are being imported: what the journal says of them is changed by their imports alone.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use super::import_id::ImportId;
use crate::lock::lock;

type Objects = HashSet<(ImportId, String)>;

/// The objects that are being imported, by their imports and keys.
#[derive(Debug, Default)]
pub(super) struct ObjectsInUse(Arc<Mutex<Objects>>);

/// Who has this may read what the journal says of an object that is not in use, and change it.
#[derive(Debug)]
pub(super) struct ObjectTurn<'o> {
    objects: MutexGuard<'o, Objects>,
    all: Arc<Mutex<Objects>>,
}

/// An object that is being imported, until this is dropped.
#[derive(Debug)]
pub(super) struct ObjectInUse {
    all: Arc<Mutex<Objects>>,
    object: (ImportId, String),
}

impl ObjectsInUse {
    /// Waits until nobody else has the turn. It must be held for moments only: for what the journal takes.
    pub(super) fn turn(&self) -> ObjectTurn<'_> {
        ObjectTurn { objects: lock(&self.0), all: Arc::clone(&self.0) }
    }
}

impl ObjectTurn<'_> {
    /// Whether an object is being imported.
    pub(super) fn is_in_use(&self, import: ImportId, key: &str) -> bool {
        self.objects.contains(&(import, key.to_owned()))
    }

    /// Takes an object for its import. `None`: another import of it goes on.
    pub(super) fn take(mut self, import: ImportId, key: &str) -> Option<ObjectInUse> {
        let object = (import, key.to_owned());
        let is_free = self.objects.insert(object.clone());
        is_free.then(|| ObjectInUse { all: Arc::clone(&self.all), object })
    }
}

impl Drop for ObjectInUse {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.object);
    }
}
