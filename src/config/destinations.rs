//! `[[destination]]`: where calls go beside the archive.

use std::collections::{BTreeMap, BTreeSet};

use crate::arn::Arn;
use crate::destinations::request::{Invocation, SYNC_BYTES_MAX};
use crate::destinations::select::{OBJECT, Selection, TYPES};
use crate::destinations::settings::{
    AtLambda, BatchBounds, DestinationSettings, ExternalIds, FORWARD, FunctionsAt, MAX_AGE, MAX_QUEUE,
    SecretText, TIMEOUT, URL, queues_max,
};
use crate::object::{ExternalId, RoleArn};
use crate::sources::SourceId;

use super::checked::Spool as SpoolSettings;
use super::problem::{ConfigProblem, SettingPlace};
use super::raw::{Entry, Table, Typed};
use super::reader::{self, Reader};
use super::secret::{self, Outside};
use super::sources::Source;
use super::units::{ByteSize, Period};
use super::values::{self, Endpoint};
use super::web_address::secret_web_address;

/// The most destinations of a configuration.
const DESTINATIONS_MAX: usize = 64;
/// The most functions invoked at once by a destination, for each function.
const CONCURRENCY_MAX: usize = 1_000;
/// The least that a destination may be allowed to queue.
const QUEUE_MIN: u64 = 1 << 20;
/// The default of `retry_execution_errors` in batches.
const BATCH_RETRIES: u32 = 2;
/// What is forwarded at a time unless `mode` is "batch": the public endpoint takes 500 KB.
const FORWARDED: BatchBounds = BatchBounds { calls: 100, bytes: 400_000 };
/// Keys that only functions of AWS Lambda have.
const OF_LAMBDA: [&str; 9] = [
    "function", "functions", "region", "role_arn", "external_id", "log_type", "invocation", "max_payload",
    "endpoint_url",
];
/// Keys that only web addresses have.
const OF_HTTP: [&str; 3] = ["url", "forward", "write_key"];
const EXAMPLE_FORWARD: &str = "\"https://api.segment.io\"";
const EXAMPLE_URL: &str = "http://127.0.0.1:9000/";
const FUNCTION_FORM: &str = "expected the ARN of a function, such as \"arn:aws:lambda:eu-west-1:111122223333:function:on-track\", with one :version or :alias at its end if you like";

#[derive(Clone, Copy)]
enum Kind {
    Lambda,
    Http,
}

/// What a destination's settings are checked against.
pub(super) struct Around<'a> {
    /// The sources, which a destination may name. `None` if they are not known: every id is then taken for
    /// one.
    pub(super) sources: Option<&'a [Source]>,
    /// The bytes of the spool.
    pub(super) spool_bytes: u64,
    /// What secrets refer to.
    pub(super) outside: &'a Outside<'a>,
}

impl<'a> Around<'a> {
    /// Of destinations without the rest of a configuration.
    pub(super) fn alone(outside: &'a Outside<'a>) -> Self {
        Self { sources: None, spool_bytes: SpoolSettings::default().max_bytes, outside }
    }
}

/// Reads every destination that is enabled.
pub(super) fn check(
    tables: &[Table],
    around: &Around<'_>,
    problems: &mut Vec<ConfigProblem>,
) -> Vec<DestinationSettings> {
    if tables.len() > DESTINATIONS_MAX {
        let what = format!("is given {} times: at most {DESTINATIONS_MAX} are allowed", tables.len());
        problems.push(ConfigProblem::new(SettingPlace::Nowhere, "destination", what));
        return Vec::new();
    }
    let mut names = BTreeSet::new();
    let mut destinations: Vec<DestinationSettings> = Vec::new();
    // What is left to queue, and the destinations that have a part of it.
    let (mut left, mut unset) = (queues_max(around.spool_bytes), Vec::new());
    for table in tables {
        let mut reader = Reader::new(table, problems);
        let enabled = reader.flag("enabled", true);
        let max_queue = reader.optional("max_queue", reader::size(QUEUE_MIN..=100_000_000_000_000));
        let settings = settings(table, around, (&mut names, max_queue), problems);
        if let Some(wanted) = max_queue.filter(|_| enabled) {
            if wanted > left {
                let what = format!(
                    "is too large: all destinations together may queue half of spool.max_bytes ({}), and those before it leave {}: lower \
                     it, or raise spool.max_bytes",
                    ByteSize(queues_max(around.spool_bytes)),
                    ByteSize(left)
                );
                Reader::new(table, problems).refuse("max_queue", what);
            }
            left = left.saturating_sub(wanted);
        }
        if let Some(settings) = settings.filter(|_| enabled) {
            if max_queue.is_none() {
                unset.push(destinations.len());
            }
            destinations.push(settings);
        }
    }
    let part = (left / unset.len().max(1) as u64).clamp(QUEUE_MIN, MAX_QUEUE);
    for index in unset {
        if let Some(settings) = destinations.get_mut(index) {
            settings.max_queue = part;
        }
    }
    destinations
}

/// The settings of a destination, unless something is wrong. Those without `max_queue` have none yet.
fn settings(
    table: &Table,
    around: &Around<'_>,
    (names, max_queue): (&mut BTreeSet<SourceId>, Option<u64>),
    problems: &mut Vec<ConfigProblem>,
) -> Option<DestinationSettings> {
    let before = problems.len();
    let mut reader = Reader::new(table, problems);
    let name = reader.optional("name", reader::id);
    if !reader.has("name") {
        reader.refuse("name", "is not set: each destination needs a name, such as \"crm\"");
    }
    if name.as_ref().is_some_and(|name| !names.insert(name.clone())) {
        reader.refuse("name", "is also the name of another destination");
    }
    let kinds = reader::one_of(&[("lambda", Kind::Lambda), ("http", Kind::Http)]);
    let kind = reader.optional("type", kinds);
    if !reader.has("type") {
        reader.refuse("type", "is not set: expected \"lambda\" or \"http\"");
    }
    let sources = sources(&mut reader, around.sources);
    let timeouts = reader::period(Period::from_millis(100)..=Period::from_secs(900));
    let timeout = reader.get("timeout", TIMEOUT, timeouts);
    let concurrency = reader.get("concurrency", 64, reader::count(1, CONCURRENCY_MAX));
    let max_age = reader.seconds("max_age", MAX_AGE, 1..=14 * 86_400);
    let retries = reader.optional("retry_execution_errors", reader::count(0, 100));
    let respect_integrations = reader.flag("respect_integrations", true);
    let in_order = reader.word("order_by", false, values::ORDER_BY);
    let mut batch = batch(&mut reader);
    let selection = |functions, function| Selection {
        sources: sources.clone(),
        functions,
        function,
        respect_integrations,
        name: name.as_ref().map_or_else(String::new, |name| name.as_str().to_owned()),
    };
    let kind = kind?;
    let (foreign, other): (&[&str], _) = match kind {
        Kind::Lambda => (&OF_HTTP, "http"),
        Kind::Http => (&OF_LAMBDA, "lambda"),
    };
    for key in foreign {
        if reader.has(key) {
            reader.refuse(key, format!("is only for type = \"{other}\""));
        }
    }
    let (functions_at, selection) = match kind {
        Kind::Lambda => {
            let (functions, function) = functions(&mut reader);
            let target = lambda(&mut reader, batch, sources.as_deref(), around.sources);
            if let Some(unplaced) =
                functions.values().chain(&function).find(|arn| target.region_of(arn).is_none())
            {
                reader.refuse("region", format!("is not set, and {unplaced} names none"));
            }
            (FunctionsAt::Lambda(target), selection(functions, function))
        }
        Kind::Http => {
            let (functions_at, label) = http(&mut reader, around.outside)?;
            if label == FORWARD {
                batch = Some(batch.unwrap_or(FORWARDED));
                // A batch has calls only; object sets have a route that not every endpoint has.
                let calls = TYPES.into_iter().filter(|kind| *kind != OBJECT);
                let functions = calls.map(|kind| (kind.to_owned(), label.to_owned())).collect();
                (functions_at, selection(functions, None))
            } else {
                (functions_at, selection(BTreeMap::new(), Some(label.to_owned())))
            }
        }
    };
    let settings = DestinationSettings {
        name: name?,
        selection,
        functions_at,
        timeout,
        concurrency,
        max_age,
        max_queue: max_queue.unwrap_or_default(),
        // A call that a function names in the answer to a batch is sent again, as the form of that answer
        // promises.
        retry_execution_errors: retries.map_or(if batch.is_some() { BATCH_RETRIES } else { 0 }, |retries| {
            u32::try_from(retries).unwrap_or(u32::MAX)
        }),
        in_order,
        batch,
        typed: typed(table),
    };
    (problems.len() == before).then_some(settings)
}

/// `None`: every source.
fn sources(reader: &mut Reader<'_>, known: Option<&[Source]>) -> Option<Vec<SourceId>> {
    let item = |text: &str| match text.trim() {
        "*" => Ok(None),
        text => match SourceId::new(text) {
            Ok(id) if known.is_none_or(|known| known.iter().any(|source| source.id == id)) => Ok(Some(id)),
            _ => Err(format!("{text:?} is the id of no [[source]]")),
        },
    };
    let listed = reader.optional("sources", |value| {
        let listed = reader::list("a list such as [\"*\"] or [\"checkout-web\"]", item)(value)?;
        if listed.is_empty() {
            Err("expected at least one source; [\"*\"] is every source".to_owned())
        } else {
            Ok(listed)
        }
    });
    listed.and_then(|listed| listed.into_iter().collect())
}

fn batch(reader: &mut Reader<'_>) -> Option<BatchBounds> {
    if !reader.word("mode", false, values::MODE) {
        for key in ["batch_max_calls", "batch_max_bytes"] {
            if reader.has(key) {
                reader.refuse(key, "is only for mode = \"batch\"");
            }
        }
        return None;
    }
    let calls = reader.get("batch_max_calls", 100, reader::count(1, 10_000));
    let bytes = reader.size("batch_max_bytes", 1_000_000, 1_000..=SYNC_BYTES_MAX as u64);
    Some(BatchBounds { calls, bytes: usize::try_from(bytes).unwrap_or(SYNC_BYTES_MAX) })
}

/// The functions of types, and that of all others.
fn functions(reader: &mut Reader<'_>) -> (BTreeMap<String, String>, Option<String>) {
    let function = reader.optional("function", |value| match reader::text(value)? {
        "" => Ok(None),
        text => function_arn(text).map(Some),
    });
    let functions = reader.optional("functions", |value| {
        let Typed::Table(entries) = value else {
            return Err("expected a table such as { track = \"arn:…\", identify = \"arn:…\" }".to_owned());
        };
        let one = |(kind, entry): &(String, Entry)| {
            if !TYPES.contains(&kind.as_str()) {
                return Err(format!("{kind} is no type of calls: expected {}", TYPES.join(", ")));
            }
            let arn = reader::text(&entry.value)
                .and_then(function_arn)
                .map_err(|what| format!("{kind}: {what}"))?;
            Ok((kind.clone(), arn))
        };
        entries.iter().map(one).collect::<Result<BTreeMap<_, _>, String>>()
    });
    let is_wrong =
        reader.has("function") && function.is_none() || reader.has("functions") && functions.is_none();
    let (function, functions) = (function.flatten(), functions.unwrap_or_default());
    if function.is_none() && functions.is_empty() && !is_wrong {
        let what = "is not set: set function, or functions for the types that are sent";
        reader.refuse("function", what);
    }
    (functions, function)
}

/// `arn:aws:lambda:eu-west-1:111122223333:function:name`, with a version or alias at the end if there is one.
/// Errors: the expected form.
pub fn function_arn(text: &str) -> Result<String, String> {
    let arn: Arn = text.trim().parse().map_err(|_| FUNCTION_FORM.to_owned())?;
    let of = arn.parts();
    let name = of.resource.strip_prefix("function:").unwrap_or_default();
    let part = |part: &str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'$';
        !part.is_empty() && part.bytes().all(legal)
    };
    let parts = name.split(':').count();
    if of.service == "lambda" && !of.account.is_empty() && parts <= 2 && name.split(':').all(part) {
        Ok(arn.as_str().to_owned())
    } else {
        Err(FUNCTION_FORM.to_owned())
    }
}

fn lambda(
    reader: &mut Reader<'_>,
    batch: Option<BatchBounds>,
    taken: Option<&[SourceId]>,
    known: Option<&[Source]>,
) -> AtLambda {
    let invocation = reader.word("invocation", Invocation::RequestResponse, values::INVOCATION);
    let log_tail = reader.word("log_type", false, values::LOG_TYPE);
    if invocation == Invocation::Event {
        if log_tail {
            let what = "\"Tail\" needs invocation = \"RequestResponse\": with \"Event\" AWS answers before the function runs, so \
                        there is no log yet";
            reader.refuse("log_type", what);
        }
        if batch.is_some() {
            let what = "\"batch\" needs invocation = \"RequestResponse\": with \"Event\" the function cannot say which calls of \
                        a batch failed";
            reader.refuse("mode", what);
        }
    }
    let most = invocation.bytes_max();
    let payload_max = reader.size("max_payload", most as u64, 1 << 10..=SYNC_BYTES_MAX as u64);
    let role = reader.optional("role_arn", reader::from_text(RoleArn::parse));
    let external_ids = external_ids(reader, role.is_some(), taken, known);
    AtLambda {
        region: reader.optional("region", reader::from_text(values::region)),
        role,
        external_ids,
        log_tail,
        invocation,
        payload_max: usize::try_from(payload_max).unwrap_or(most),
        endpoint_url: reader
            .optional("endpoint_url", reader::from_text(Endpoint::parse))
            .map(|endpoint| endpoint.as_str().to_owned()),
    }
}

/// The external ids for the role, of the calls that are taken.
fn external_ids(
    reader: &mut Reader<'_>,
    has_role: bool,
    taken: Option<&[SourceId]>,
    known: Option<&[Source]>,
) -> ExternalIds {
    let is_taken = |id: &SourceId| {
        taken.is_none_or(|taken| taken.contains(id))
            && known.is_none_or(|known| known.iter().any(|source| source.id == *id))
    };
    let read = reader.optional("external_id", |value| {
        let external_id = reader::from_text(ExternalId::parse);
        let Typed::Table(entries) = value else { return external_id(value).map(ExternalIds::OneForAll) };
        let one = |(source, entry): &(String, Entry)| {
            let id = SourceId::new(source).ok().filter(is_taken);
            let id = id.ok_or_else(|| format!("{source:?} is the id of no source that is taken"))?;
            Ok((id, external_id(&entry.value).map_err(|what| format!("{source}: {what}"))?))
        };
        entries.iter().map(one).collect::<Result<_, String>>().map(ExternalIds::OfSources)
    });
    if reader.has("external_id") && !reader.has("role_arn") {
        let what = "is used only with a role: set role_arn, or remove external_id";
        reader.refuse("external_id", what);
    }
    let is_wrong = reader.has("external_id") && read.is_none();
    let ids = read.unwrap_or_default();
    if has_role && !is_wrong {
        let sources = known.unwrap_or_default().iter().map(|source| &source.id);
        if let Some(source) = sources.filter(|id| is_taken(id)).find(|id| ids.of(id).is_err()) {
            let what = format!(
                "has none for the source {source}, and that id, used instead, is too short: an external id needs at least 2 \
                 characters"
            );
            reader.refuse("external_id", what);
        }
    }
    ids
}

fn http(reader: &mut Reader<'_>, outside: &Outside<'_>) -> Option<(FunctionsAt, &'static str)> {
    let url = reader.optional("url", secret_web_address(EXAMPLE_URL, outside));
    let forward = reader.optional("forward", |value| tracking_endpoint(reader::text(value)?));
    let form = "expected the write key of a source there, 1 to 1,024 bytes of text";
    let write_key = reader.optional("write_key", |value| {
        let key = secret::resolve(value, form, outside)?.0.trim().to_owned();
        let legal =
            !key.is_empty() && key.len() <= 1_024 && !key.contains(|c: char| c.is_control() || c == ':');
        legal.then_some(key).ok_or_else(|| form.to_owned())
    });
    match (reader.has("url"), reader.has("forward")) {
        (false, false) => reader.refuse("url", "is not set: set url or forward"),
        (true, true) => reader.refuse("forward", "cannot be set beside url: remove one of them"),
        (true, false) if reader.has("write_key") => {
            reader.refuse("write_key", "is only for forward");
        }
        (false, true) if !reader.has("write_key") => {
            reader
                .refuse("write_key", "is not set: forward sends calls with the write key of a source there");
        }
        _ => {}
    }
    match (url, forward) {
        (Some(url), _) => Some((FunctionsAt::Url(SecretText(url.uri().to_string())), URL)),
        (None, Some(forward)) => {
            let functions_at = FunctionsAt::Forward { to: forward, write_key: SecretText(write_key?) };
            Some((functions_at, FORWARD))
        }
        (None, None) => None,
    }
}

/// The address of a tracking endpoint, without its routes.
/// Errors: what is expected. The text does not repeat the address.
fn tracking_endpoint(text: &str) -> Result<String, String> {
    let address = values::base_address(text, EXAMPLE_FORWARD, "the write key is write_key")?;
    if address.ends_with("/v1") || address.contains("/v1/") {
        return Err(format!("expected a URL such as {EXAMPLE_FORWARD}, without /v1/batch, which is added"));
    }
    Ok(address)
}

/// The TOML of a destination, to be read again when the file no longer has it.
fn typed(table: &Table) -> String {
    let mut text = "[[destination]]\n".to_owned();
    for (key, entry) in &table.entries {
        text += &format!("{key} = {}\n", entry.value.toml());
    }
    text
}
