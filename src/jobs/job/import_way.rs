//! Where the rows of imported objects go, and whose they are. It is kept, so that a job goes on with its id alone. No
//! secret stands in it: tokens and write keys come from the environment or a file.

use serde::{Deserialize, Serialize};

/// The way of the rows of a job that imports. `None`: as `import csv` chooses without the option.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportWay {
    /// The id of the source of the calls.
    pub source: Option<String>,
    /// The beginning of the hash of the write key. The key itself is not kept, and has to be given again.
    pub write_key: Option<String>,
    /// The URL of the running node's admin listener.
    pub admin: Option<String>,
    /// The file with the node's token.
    pub token_file: Option<String>,
    /// The configuration whose spool takes the rows if no node runs.
    pub config: Option<String>,
    /// The URL of a collector elsewhere.
    pub collector: Option<String>,
    /// With a collector: where the progress is that machines share.
    pub journal: Option<String>,
    /// The folder for rejected rows and the progress of imports to a collector.
    pub state: String,
}

impl ImportWay {
    /// All texts, each with the option that gives it.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let named = [
            ("--source", &self.source),
            ("--write-key", &self.write_key),
            ("--admin", &self.admin),
            ("--token-file", &self.token_file),
            ("--config", &self.config),
            ("--collector", &self.collector),
            ("--journal", &self.journal),
        ];
        let state = std::iter::once(("--state", &self.state));
        named.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?))).chain(state)
    }
}
