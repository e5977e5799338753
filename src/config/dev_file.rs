//! What dev mode takes from a configuration file, and what it makes up by itself. Commands about imports read
//! such a file in the same way.

use std::path::PathBuf;

use crate::call::Limits;
use crate::destinations::settings::DestinationSettings;
use crate::object::Encryption;

use super::alarm::AlarmSettings;
use super::checked::{Admin, Collector, Config, Flush, Spool};
use super::closed_days::ClosedDays;
use super::destinations::{self, Around};
use super::import_settings::ImportSettings;
use super::imports;
use super::problem::{ConfigProblem, SettingPlace};
use super::raw::Raw;
use super::reader::{self, Reader};
use super::s3::S3;
use super::secret::Outside;
use super::values::Endpoint;

/// Where the S3 of dev mode listens, unless it is told another address.
const S3_URL: &str = "http://127.0.0.1:9000";
/// The directory of the spool of dev mode, unless it is told another one.
const SPOOL: &str = "forebay-data/spool";

/// What a node of dev mode, which has no other configuration, takes from a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevFile {
    /// The destinations.
    pub destinations: Vec<DestinationSettings>,
    /// The imports. They take every id for a source.
    pub imports: Vec<ImportSettings>,
}

impl DevFile {
    /// Takes what dev mode uses. Errors: all problems of it.
    pub(super) fn take(raw: &mut Raw, outside: &Outside<'_>) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = std::mem::take(&mut raw.problems);
        let destinations = destinations::check(&raw.destinations, &Around::alone(outside), &mut problems);
        let around = imports::Around {
            sources: None,
            endpoint: None,
            scan_interval: imports::DEV_SCAN_INTERVAL,
            max_event: Limits::default().max_event,
            outside,
        };
        let imports = imports::check(&raw.imports, &around, &mut problems);
        problems.sort_by(|one, other| one.place.cmp(&other.place));
        if problems.is_empty() { Ok(Self { destinations, imports }) } else { Err(problems) }
    }
}

/// Whether only dev mode takes a file: it has imports, and sets neither a bucket for calls nor a source. The S3 of dev
/// has no roles: whoever names one means a bucket in AWS, and lacks `s3.bucket`.
pub(super) fn is_of_dev(raw: &Raw) -> bool {
    let has_role = raw.imports.iter().any(|import| import.entries.contains_key("role_arn"));
    !raw.imports.is_empty() && raw.sources.is_empty() && !raw.has("s3", "bucket") && !has_role
}

/// The configuration that dev mode makes of such a file, and a sentence that says so.
/// Errors: all problems of what it uses.
pub(super) fn config(mut raw: Raw, outside: &Outside<'_>) -> Result<(Config, String), Vec<ConfigProblem>> {
    let DevFile { destinations, imports } = DevFile::take(&mut raw, outside)?;
    let (table, mut problems) = (raw.take_section("s3"), Vec::new());
    let typed =
        Reader::new(&table, &mut problems).optional("endpoint_url", reader::from_text(Endpoint::parse));
    let endpoint = typed
        .map_or_else(|| Endpoint::parse(S3_URL), Ok)
        .map_err(|what| vec![ConfigProblem::new(SettingPlace::Nowhere, "s3.endpoint_url", what)])?;
    if !problems.is_empty() {
        return Err(problems);
    }
    let said = format!(
        "the file has no s3.bucket and no [[source]], so it is read as `forebay dev --config FILE` reads it: with the S3 of dev at {} \
         (FOREBAY_S3_ENDPOINT_URL sets another address)",
        endpoint.as_str()
    );
    let config = Config {
        collector: Collector::default(),
        admin: Admin::default(),
        spool: Spool { dir: PathBuf::from(SPOOL), ..Spool::default() },
        // The bucket's own encryption applies, as it does to what dev mode puts beside calls.
        s3: S3 { encryption: Encryption::None, ..S3::default() },
        flush: Flush::default(),
        closed_days: ClosedDays::default(),
        alarm: AlarmSettings::default(),
        sources: Vec::new(),
        destinations,
        imports,
        kafka: None,
        dev_s3: Some(endpoint),
    };
    Ok((config, said))
}
