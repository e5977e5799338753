//! The options of `forebay import`.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, FromArgMatches, Subcommand, ValueEnum};

use super::converter_args::{InferArgs, PreviewArgs};
use super::run_args::{
    NodeOrSpoolArgs, PauseArgs, ReleaseArgs, RenameArgs, ResetFileArgs, RunArgs, SetupNotificationsArgs,
    StatusArgs, TestCredentialsArgs,
};
use crate::admin::ImportStateName;
use crate::admin_client::AdminUrl;
use crate::call::CallKind;
use crate::config::{ByteSize, Endpoint};
use crate::import::OnRowError;
use crate::import::csv::{IdFrom, TypedByte, TypedDate, TypedDelimiter, TypedMap, byte_or_none};
use crate::import::discovery::row_type::NamedKind;
use crate::object::Collection;
use crate::runtime::progress::ProgressArg;
use crate::sources::SourceId;
use crate::words::TypedOptions;

/// `forebay import …`
#[derive(Clone, Debug, Subcommand)]
pub enum ImportCommand {
    /// Import rows of CSV files as calls
    Csv(Box<ImportCsvArgs>),
    /// Import the rows that an earlier import rejected, after they were corrected in their file
    RetryRejects(Box<RetryRejectsArgs>),
    /// Print a first converter for files like a sample
    InferConverter(InferArgs),
    /// Show rows of files beside the calls that a converter makes of them; store nothing
    Preview(Box<PreviewArgs>),
    /// Make one pass over the bucket of an import now
    Run(Box<RunArgs>),
    /// Let a file of a bucket begin again that is given up, or that was replaced
    ResetFile(Box<ResetFileArgs>),
    /// Give the history of an import of a bucket to another name
    Rename(Box<RenameArgs>),
    /// Free the files of another instance whose disk is lost
    Release(Box<ReleaseArgs>),
    /// Test whether an import can read its bucket, and print the statement of each right that is missing
    TestCredentials(TestCredentialsArgs),
    /// Let the bucket of an import send its notifications to the queue of the import, or undo that
    SetupNotifications(SetupNotificationsArgs),
    /// Pause an import of a bucket until it is resumed, also through restarts
    Pause(PauseArgs),
    /// Resume an import of a bucket that was paused
    #[command(after_help = "Exit codes: as for pause.\n\nExample:\n  forebay import resume orders")]
    Resume(PauseArgs),
    /// Show imports of buckets: what their last pass found, and when the next one begins
    Status(StatusArgs),
    /// List imports: what each one did, what waits, what was rejected and why
    List(ListArgs),
}

impl ImportCommand {
    /// How a command about imports of buckets was told where they are, unless it prints for programs.
    pub(super) fn typed_for_people(&self) -> TypedOptions {
        let of = |at: &NodeOrSpoolArgs| (at.config.clone(), at.admin.clone(), at.json);
        let (config, admin, json) = match self {
            Self::RetryRejects(args) if args.import.is_some() => {
                let to = &args.to.target;
                (to.config.clone(), to.admin.clone(), args.show.json)
            }
            Self::Preview(args) => (args.config.clone(), None, args.json),
            Self::TestCredentials(args) => (Some(args.config.clone()), None, args.json),
            Self::SetupNotifications(args) => (Some(args.config.clone()), None, args.json),
            Self::Run(args) => of(&args.at),
            Self::ResetFile(args) => of(&args.at),
            Self::Rename(args) => of(&args.at),
            Self::Release(args) => of(&args.at),
            Self::Pause(args) | Self::Resume(args) => of(&args.at),
            Self::Status(args) => of(&args.at),
            Self::List(args) => of(&args.at),
            Self::InferConverter(args) => (args.config.clone(), None, false),
            Self::Csv(_) | Self::RetryRejects(_) => return TypedOptions::default(),
        };
        if json {
            return TypedOptions::default();
        }
        let config = config.map(|path| path.to_string_lossy().into_owned());
        TypedOptions { config, admin: admin.map(|url| url.to_string()) }
    }
}

/// `forebay import csv`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A file's name tells the type of its calls: track_1.csv, identify_users.csv.gz, ... The header's names are paths:
userId, event, properties.plan, context.ip. Each row is imported once: after an interruption, the same command
continues, and a file that is imported is not imported again.

Exit codes: 0 all rows imported, 1 a file failed, 2 wrong usage or configuration, 3 some rows were rejected,
4 the node or the store cannot be reached, 5 access denied, 130 interrupted.

Examples:
  forebay import csv track_1.csv
  forebay import csv exports/ --source shop
  zcat old.gz | forebay import csv - --type identify
  forebay import csv k.csv --type identify --map 'Nr=userId;E-Mail=traits.email' --date-format Seit=DD.MM.YYYY
  forebay import csv s3://bucket/exports/ --dry-run
  forebay import csv object_rooms_1.csv")]
pub struct ImportCsvArgs {
    /// File, folder, pattern, s3://bucket/key, s3://bucket/prefix/, or - for standard input
    #[arg(value_name = "SRC", required = true)]
    pub sources: Vec<OsString>,

    /// What the rows become, and how the files are written and read.
    #[command(flatten)]
    pub format: FormatArgs,

    /// Rows to import, counted from 0: 1000..2000, ..100 or 500..
    #[arg(long, value_name = "A..B", value_parser = rows)]
    pub rows: Option<Range<u64>>,

    /// What rejected rows lead to: reject (never stop the file), fail (stop at the first), max:N, maxpct:P
    #[arg(long, value_name = "ACTION", default_value = "maxpct:50")]
    pub on_row_error: OnRowError,

    /// Import files that were imported before again, from their first row
    #[arg(long)]
    pub force: bool,

    /// Number of files to import at once, at most 8
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u8).range(1..=8))]
    pub parallel: u8,

    /// Where the calls go.
    #[command(flatten)]
    pub to: ToArgs,

    /// How the result is shown.
    #[command(flatten)]
    pub show: ShowArgs,

    /// Read and convert everything, import nothing, and print samples and counts
    #[arg(long)]
    pub dry_run: bool,

    /// Print the first calls, and import nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub preview: bool,

    /// Number of calls that --dry-run and --preview print
    #[arg(long, value_name = "N", default_value = "10")]
    pub samples: usize,
}

/// What rows become, how files are written, and how their cells become values.
#[derive(Clone, Debug, Args)]
pub struct FormatArgs {
    /// Type of the calls, if the names of the files do not begin with it; object with --collection
    #[arg(long = "type", value_name = "TYPE", value_parser = type_arg)]
    pub kind: Option<NamedKind>,

    /// Collection of object files, if their names do not show it (a name that contains _)
    #[arg(long, value_name = "NAME", value_parser = Collection::new)]
    pub collection: Option<Collection>,

    /// Character between fields, or auto: one of , ; tab |. A blank after it ("; " or "; blank") means that blanks
    /// after delimiters belong to them
    #[arg(long, value_name = "CHAR", default_value = "auto", value_parser = TypedDelimiter::parse)]
    pub delimiter: TypedDelimiter,

    /// Character around fields, or none
    #[arg(long, value_name = "CHAR", default_value = "\"", value_parser = byte_or_none)]
    pub quote: TypedByte,

    /// Character before a character without special meaning, or none
    #[arg(long, value_name = "CHAR", default_value = "none", value_parser = byte_or_none)]
    pub escape: TypedByte,

    /// Encoding, such as windows-1252; auto: as the byte order mark says, else UTF-8
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub encoding: String,

    /// Names of the columns, for files without a header
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub columns: Vec<String>,

    /// Another name for a column, which is its place in the call: E-Mail=traits.email; several with ; in between
    #[arg(long, value_name = "COLUMN=NAME", value_delimiter = ';', value_parser = TypedMap::parse)]
    pub map: Vec<TypedMap>,

    /// Types of cells: string; infer (one type for each column, from its first cells); or a JSON file
    /// {"column": "string|int|float|float_comma|bool|time|json|infer|DD.MM.YYYY"}
    #[arg(long, value_name = "TYPES", default_value = "string")]
    pub types: String,

    /// How a column's dates are written, and their time zone: "timestamp=DD.MM.YYYY HH:mm Europe/Berlin",
    /// "due=MM/DD/YYYY hh:mm A"; several with ; in between
    #[arg(long, value_name = "COLUMN=FORMAT", value_delimiter = ';', value_parser = TypedDate::parse)]
    pub date_format: Vec<TypedDate>,

    /// Cells that mean no value, such as NA or \N
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub null: Vec<String>,

    /// More columns with times, besides timestamp and createdAt
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub time_columns: Vec<String>,

    /// What empty cells become
    #[arg(long, value_enum, default_value = "omit")]
    pub empty: EmptyArg,

    /// Make arrays of columns such as items.0.sku, and JSON of cells in columns named like x:json
    #[arg(long)]
    pub arrays: bool,

    /// Require more of each row: a userId in identify, track, page and screen rows, a name in page and screen
    /// rows
    #[arg(long)]
    pub strict: bool,

    /// Where the messageIds of calls come from: position (the row's place in its file); column:NAME (a
    /// column); or row-hash (the row's content: if a file has grown, only its new rows are stored)
    #[arg(long, value_name = "FROM", default_value = "position", value_parser = id_from)]
    pub id_from: IdFrom,

    /// With --id-from row-hash: which rows count as stored before: those of earlier versions of the same
    /// file, or of all files of the source
    #[arg(long, value_enum, value_name = "SCOPE", default_value = "file")]
    pub id_scope: ScopeArg,

    /// Longest field; a longer quoted one counts as an unclosed quote
    #[arg(long, value_name = "SIZE", default_value = "1 MiB")]
    pub max_field: ByteSize,

    /// Read compressed files even if they expand more than a thousand times
    #[arg(long)]
    pub allow_expansion: bool,
}

/// Where calls go.
#[derive(Clone, Debug, Args)]
pub struct ToArgs {
    /// Source of the calls; by default the only one, or csv in dev mode
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// Write key of the source of the calls, if --source does not name it
    #[arg(long, value_name = "KEY", env = "FOREBAY_WRITE_KEY", hide_env_values = true)]
    pub write_key: Option<String>,

    /// The target of the calls.
    #[command(flatten)]
    pub target: TargetArgs,

    /// Most rows per second of each file
    #[arg(long, value_name = "ROWS", value_parser = rate)]
    pub rate: Option<NonZeroU32>,

    /// URL of the store that s3:// sources are read from, if it is not AWS
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_S3", value_parser = Endpoint::parse)]
    pub endpoint_url: Option<Endpoint>,

    /// Folder for rejected rows, and for the progress of imports to a collector elsewhere; by default
    /// forebay in $XDG_STATE_HOME or ~/.local/state
    #[arg(long, value_name = "DIR", env = "FOREBAY_STATE")]
    pub state: Option<PathBuf>,

    /// File or folder for rejected rows, or s3://bucket/prefix/; by default rejects in the state folder
    #[arg(long, value_name = "PLACE")]
    pub rejects: Option<String>,
}

/// The target of calls: a running node, a spool, or a collector elsewhere.
#[derive(Clone, Debug, Args)]
pub struct TypedTargetArgs {
    /// URL of the running node's admin listener
    #[arg(long = "admin", value_name = "URL", env = "FOREBAY_ADMIN_URL")]
    pub admin: Option<AdminUrl>,

    /// File whose first line is the node's admin token; by default the token is in FOREBAY_ADMIN_TOKEN
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Configuration file: if no node is running, the calls go into its spool and are delivered from there
    #[arg(long, value_name = "FILE", env = "FOREBAY_CONFIG")]
    pub config: Option<PathBuf>,

    /// Send the calls to a collector elsewhere; needs --write-key
    #[arg(long, value_name = "URL", requires = "write_key", value_parser = Endpoint::parse)]
    pub collector: Option<Endpoint>,

    /// With --collector: s3://bucket/prefix/ for the progress of imports, so that several machines share the
    /// files
    #[arg(long, value_name = "PLACE", requires = "collector")]
    pub journal: Option<String>,
}

/// The target arguments, after typed ones have displaced those of the environment.
#[derive(Clone, Debug)]
pub struct TargetArgs(TypedTargetArgs);

impl std::ops::Deref for TargetArgs {
    type Target = TypedTargetArgs;

    fn deref(&self) -> &TypedTargetArgs {
        &self.0
    }
}

impl Args for TargetArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        TypedTargetArgs::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        TypedTargetArgs::augment_args_for_update(command)
    }
}

// Written by hand: clap's own conflicts do not distinguish typed arguments from those of the environment.
impl FromArgMatches for TargetArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let (admin, config, collector) = (is_typed("admin"), is_typed("config"), is_typed("collector"));
        for (other, shown) in [(admin, "--admin <URL>"), (config, "--config <FILE>")] {
            if collector && other {
                let text = format!("the argument '--collector <URL>' cannot be used with '{shown}'\n");
                return Err(clap::Error::raw(ErrorKind::ArgumentConflict, text));
            }
        }
        let mut args = TypedTargetArgs::from_arg_matches(matches)?;
        if collector || (config && !admin) {
            args.admin = args.admin.filter(|_| admin);
        }
        if collector {
            args.config = None;
        }
        Ok(Self(args))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// How the result is shown.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// Progress on standard error: a bar on a terminal, a line each 10 s elsewhere; json: one object per
    /// second
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: ProgressArg,

    /// Print the result as JSON
    #[arg(long, action = ArgAction::SetTrue)]
    pub json: bool,
}

/// `forebay import retry-rejects`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
With --import, the rows are read from the bucket again, with the converter of now: in the running node, or else in the
spool of --config.

Exit codes: those of `forebay import csv`.

Examples:
  forebay import retry-rejects ~/.local/state/forebay/rejects/*.csv --source shop
  forebay import retry-rejects --import orders
  forebay import retry-rejects --import orders orders/2026-11-03.json.gz --dry-run")]
pub struct RetryRejectsArgs {
    /// Files with rejected rows, as an import wrote them; with --import at most one key of an object
    #[arg(value_name = "FILE", required_unless_present = "import")]
    pub files: Vec<PathBuf>,

    /// Read the rejected rows of this import of a bucket again, or those of one object of it
    #[arg(long, value_name = "NAME", value_parser = SourceId::new,
        conflicts_with_all = ["source", "collector", "journal", "rate", "rejects", "on_row_error"])]
    pub import: Option<SourceId>,

    /// With --import: say what would become of the rows, and store nothing
    #[arg(long, requires = "import")]
    pub dry_run: bool,

    /// What rejected rows lead to: reject (never stop the file), fail (stop at the first), max:N, maxpct:P
    #[arg(long, value_name = "ACTION", default_value = "reject")]
    pub on_row_error: OnRowError,

    /// Where the calls go.
    #[command(flatten)]
    pub to: ToArgs,

    /// How the result is shown.
    #[command(flatten)]
    pub show: ShowArgs,
}

/// `forebay import list`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The import that was begun, continued or ended last stands first. A node does not know imports with --collector.

If no node is running, the command reads the journal in the spool of --config.

Exit codes: 0 success, 1 the journal cannot be read, 2 wrong usage or configuration, 4 the node cannot be reached,
5 access denied.

Examples:
  forebay import list
  forebay import list --limit 1 --json
  forebay import list --import orders --only given_up --config forebay.toml
  forebay import list --admin http://node-1:9180 --token-file ~/.forebay-token")]
pub struct ListArgs {
    /// Most imports to show, from 1 to 200
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u8).range(1..=200))]
    pub limit: u8,

    /// Show only files of this import of a bucket
    #[arg(long, value_name = "NAME", value_parser = SourceId::new)]
    pub import: Option<SourceId>,

    /// Show only files in this state: running, stopped, done, failed, given_up, changed, replaced, gone or claimed
    #[arg(long, value_name = "STATE", value_parser = state_name)]
    pub only: Option<ImportStateName>,

    /// The node, or the spool.
    #[command(flatten)]
    pub at: NodeOrSpoolArgs,
}

/// What empty cells become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmptyArg {
    /// Nothing.
    Omit,
    /// An empty string.
    String,
    /// null.
    Null,
}

/// Which rows --id-from row-hash compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScopeArg {
    /// Rows of the file of the same name.
    File,
    /// Rows of all files of the source.
    Source,
}

fn state_name(text: &str) -> Result<ImportStateName, String> {
    let names = ImportStateName::ALL.map(ImportStateName::slug).join(", ");
    ImportStateName::of(text).ok_or_else(|| format!("expected one of {names}"))
}

fn type_arg(text: &str) -> Result<NamedKind, String> {
    if text == "object" {
        return Ok(NamedKind::Objects);
    }
    CallKind::from_name(text)
        .map(NamedKind::Calls)
        .ok_or_else(|| "expected track, identify, page, screen, group, alias or object".to_owned())
}

/// A rate such as `1000` or `1000/s`.
fn rate(text: &str) -> Result<NonZeroU32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    number.parse().map_err(|_| "expected rows per second, from 1".to_owned())
}

fn id_from(text: &str) -> Result<IdFrom, String> {
    match text.split_once(':') {
        None if text == "position" => Ok(IdFrom::Position),
        None if text == "row-hash" => Ok(IdFrom::RowHash { everywhere: false }),
        Some(("column", name)) if !name.is_empty() => Ok(IdFrom::Column(name.to_owned())),
        _ => Err("expected position, column:NAME or row-hash".to_owned()),
    }
}

fn rows(text: &str) -> Result<Range<u64>, String> {
    let wrong = || "expected A..B, ..B or A.. with A below B".to_owned();
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str, none: u64| if text.is_empty() { Ok(none) } else { text.parse::<u64>() };
    let (from, to) = (number(from, 0).map_err(|_| wrong())?, number(to, u64::MAX).map_err(|_| wrong())?);
    if from < to { Ok(from..to) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_rows_may_be_open_at_either_end() {
        assert_eq!(rows("1000..2000"), Ok(1_000..2_000));
        assert_eq!(rows("..5"), Ok(0..5));
        assert_eq!(rows("5.."), Ok(5..u64::MAX));
        for wrong in ["", "5", "5..5", "6..5", "a..b", "-1..5"] {
            assert!(rows(wrong).is_err(), "{wrong}");
        }
    }
}
