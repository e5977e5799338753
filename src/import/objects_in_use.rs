//! The objects of buckets that are being imported: what the journal says of them is changed by their imports
//! alone.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use super::import_id::ImportId;
use super::look_once::LookOnce;
use super::places::Places;
use super::rejects_room::RejectsRooms;
use super::seen_moved::SeenMoved;
use crate::lock::lock;

type Objects = HashSet<(ImportId, String)>;

/// The objects that are being imported, by their imports and keys.
#[derive(Debug, Default)]
pub(super) struct ObjectsInUse {
    /// How many are read at once.
    pub(super) places: Places,
    /// The rooms for rejected rows.
    pub(super) rooms: RejectsRooms,
    /// Those that imports have moved.
    pub(super) moved: SeenMoved,
    /// Whether there are half-read ones.
    pub(super) half_read: LookOnce,
    /// Whether there are sets of rejected rows that a kill left behind.
    pub(super) old_sets: LookOnce,
    /// Held while the journal is read or written.
    turn: Mutex<()>,
    /// Held for moments: who ends with an object never waits for the disk.
    objects: Arc<Mutex<Objects>>,
    /// Told whenever an object is no longer being imported.
    freed: Arc<Notify>,
}

/// Who has this may read what the journal says of an object that is not in use, and change it.
#[derive(Debug)]
pub(super) struct ObjectTurn<'o> {
    _turn: MutexGuard<'o, ()>,
    objects: Arc<Mutex<Objects>>,
    freed: Arc<Notify>,
}

/// An object that is being imported, until this is dropped.
#[derive(Debug)]
pub(super) struct ObjectInUse {
    all: Arc<Mutex<Objects>>,
    freed: Arc<Notify>,
    object: (ImportId, String),
}

impl ObjectsInUse {
    /// Waits until nobody else has the turn, which may be for the disk. It must be held for moments only: for
    /// what the journal takes.
    pub(super) fn turn(&self) -> ObjectTurn<'_> {
        let (objects, freed) = (Arc::clone(&self.objects), Arc::clone(&self.freed));
        ObjectTurn { _turn: lock(&self.turn), objects, freed }
    }

    /// Told whenever an object is no longer being imported.
    pub(super) fn freed(&self) -> Arc<Notify> {
        Arc::clone(&self.freed)
    }
}

impl ObjectTurn<'_> {
    /// Whether an object is being imported.
    pub(super) fn is_in_use(&self, import: ImportId, key: &str) -> bool {
        lock(&self.objects).contains(&(import, key.to_owned()))
    }

    /// Takes an object for its import. `None`: another import of it goes on.
    pub(super) fn take(self, import: ImportId, key: &str) -> Option<ObjectInUse> {
        let object = (import, key.to_owned());
        let is_free = lock(&self.objects).insert(object.clone());
        is_free.then(|| ObjectInUse { all: self.objects, freed: self.freed, object })
    }
}

impl Drop for ObjectInUse {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.object);
        self.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ends_with_an_object_does_not_wait_for_a_turn() {
        let (objects, import) = (ObjectsInUse::default(), ImportId::of_bits(1));
        let in_use = objects.turn().take(import, "a").unwrap();
        assert!(objects.turn().take(import, "a").is_none());
        let turn = objects.turn();
        assert!(turn.is_in_use(import, "a") && !turn.is_in_use(import, "b"));
        drop(in_use);
        assert!(!turn.is_in_use(import, "a"));
    }
}
