//! The list of imported files, of a running node or of a spool that no node uses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::claimed_files::claimed;
use super::import_status::{SeenHere, import_status, state_of_import};
use crate::admin::{AskedImports, ImportStateName, Imports};
use crate::import::claims::elsewhere;
use crate::import::{ImportId, Importer, KnownImport, named};

/// Whoever sees imports.
#[derive(Debug)]
pub(super) struct SeenImports<'i> {
    /// Has the journal.
    pub(super) importer: &'i Arc<Importer>,
    /// The id of the spool: files are claimed under it.
    pub(super) instance: String,
    /// The names of the imports in the configuration.
    pub(super) names: Vec<String>,
    /// Whether messages are shown that quote what rows contain.
    pub(super) full: bool,
}

impl SeenImports<'_> {
    /// The imports that are asked for. `patience`: how long it waits for the journal.
    pub(super) async fn listed(self, asked: AskedImports, patience: Duration) -> Imports {
        let Self { importer, instance, names, full } = self;
        let AskedImports { limit, import, only } = asked;
        if only == Some(ImportStateName::Claimed) {
            return claimed(importer, instance, import, limit).await;
        }
        let known = if import.is_none() && only.is_none() {
            Importer::newest(importer, limit, patience).await
        } else {
            let is_wanted =
                move |known: &KnownImport| only.is_none_or(|only| state_of_import(known) == only.slug());
            let import = import.map(|import| import.to_string());
            Importer::newest_of(importer, import, limit, Box::new(is_wanted)).await
        };
        let journal = importer.journal();
        let shown = move || {
            // Without those that the journal cannot name now.
            let id = |name: &String| named(&*journal, name).ok().flatten().map(|known| known.id);
            let names: BTreeMap<ImportId, String> =
                names.into_iter().filter_map(|name| Some((id(&name)?, name))).collect();
            let status = |known: KnownImport| {
                let (id, object) = (known.record.import, known.object.as_deref());
                let owner = id.zip(object).and_then(|(id, key)| {
                    let owner = elsewhere(&*journal, id, key, &instance);
                    // The problem of a journal that cannot be read stands above the list.
                    owner.ok().flatten()
                });
                let name = id.and_then(|id| names.get(&id));
                let seen = SeenHere { name: name.map(String::as_str), owner: owner.as_deref(), full };
                import_status(known, &seen)
            };
            Imports {
                imports: known.imports.into_iter().map(status).collect(),
                total: known.total,
                loading: known.loading,
                problem: known.problem,
            }
        };
        match tokio::task::spawn_blocking(shown).await {
            Ok(shown) => shown,
            Err(error) => Imports { problem: Some(error.to_string()), ..Imports::default() },
        }
    }
}
