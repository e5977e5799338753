//! How many objects of an import are read at once, whoever found them: a pass, or a notification.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use super::import_id::ImportId;
use crate::lock::lock;

/// The places of all imports.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<ImportId, (usize, Arc<Semaphore>)>>);

impl Places {
    /// The places of an import that reads so many objects at once. Who has another number ends first, because
    /// the settings changed.
    pub(super) fn of(&self, import: ImportId, most: usize) -> Arc<Semaphore> {
        let mut places = lock(&self.0);
        let (number, of_import) =
            places.entry(import).or_insert_with(|| (most, Arc::new(Semaphore::new(most))));
        if *number != most {
            (*number, *of_import) = (most, Arc::new(Semaphore::new(most)));
        }
        Arc::clone(of_import)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_an_import_are_shared_until_their_number_changes() {
        let (places, one, two) = (Places::default(), ImportId::of_bits(1), ImportId::of_bits(2));
        let taken = places.of(one, 2).try_acquire_owned().unwrap();
        let free = |import, most| places.of(import, most).available_permits();
        assert_eq!([free(one, 2), free(two, 2)], [1, 2]);
        assert_eq!(free(one, 3), 3);
        drop(taken);
        assert_eq!(free(one, 3), 3);
    }
}
