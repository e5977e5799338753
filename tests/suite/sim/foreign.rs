//! Objects that others put into our buckets: under the key of one of our pending objects, or beside ours.

use forebay::object::metadata::SHA256;
use forebay::object::{ObjectKey, ObjectName, Stream};
use forebay::store::{Body, Put, PutMode};
use forebay::time::Clock as _;

use super::process::Process;
use super::world::World;

/// Maximum number of foreign objects in one world.
const FOREIGN_MAX: usize = 8;

impl World {
    /// Puts a foreign object.
    pub(super) fn foreign_object(&mut self, process: &Process) {
        if self.store.foreign().len() >= FOREIGN_MAX {
            return;
        }
        let pending = process.spool.log().pending_seals();
        let (location, key, what) = if pending.is_empty() || self.dice.chance(300) {
            let at = self.dice.index(self.clients.sources.len());
            let location = self.locations[at][0].clone();
            let name = ObjectName {
                first_received_at: self.clock.wall(),
                node: "other",
                spool_id: "00000000000000000000000000000000",
                first_position: self.dice.below(100),
            };
            let (source, day) = (&self.clients.sources[at], self.clock.wall().day());
            let key = ObjectKey::of_batch(&location.bucket, &Stream::Calls, source, day, name);
            (location, key, "a foreign object beside ours")
        } else {
            let seal = self.dice.of(&pending).seal;
            (seal.location, seal.object_key, "a foreign object under our key")
        };
        let bytes = self.dice.next().to_le_bytes();
        // From another collector, or from another program.
        let metadata = if self.dice.chance(500) { vec![(SHA256, "ab".repeat(32))] } else { Vec::new() };
        let put = Put {
            location,
            key,
            body: Body::Bytes(bytes.to_vec().into()),
            crc32: crc32fast::hash(&bytes),
            content_encoding: None,
            metadata,
            tags: Vec::new(),
            mode: PutMode::CreateOnly,
        };
        if self.store.put_foreign(&put) {
            self.trace.note("a foreign object", put.key.as_str(), &[]);
            self.trace.count(what);
        }
    }
}
