//! The options of `forebay import infer-converter` and `forebay import preview`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::config::Endpoint;
use crate::convert::{DataType, Strategy};

/// `forebay import infer-converter`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The converter is printed on standard output, what was decided about it on standard error. It is made of the first
1,000 rows of the file: one JSON object a line, or CSV; compressed or not.

Exit codes: 0 success, 1 no converter can be made of the file, 2 wrong usage, 4 the store cannot be reached,
5 access denied.

Examples:
  forebay import infer-converter orders --config forebay.toml > orders.converter.json
  forebay import infer-converter orders_2024-03-01.json.gz > converter.json
  forebay import infer-converter s3://bucket/users/users_1.csv --data-type user_properties
  forebay import infer-converter orders.json --insert-id order_id")]
pub struct InferArgs {
    /// File, s3://bucket/key, s3://bucket/prefix/ (its first file), or - for standard input; with --config
    /// the name of an import
    #[arg(value_name = "FILE")]
    pub file: OsString,

    /// Configuration file with the import that is named: the first file of its bucket is read as the import
    /// reads it
    #[arg(long, value_name = "CONFIG")]
    pub config: Option<PathBuf>,

    /// What the rows are: event, user_properties, group_properties or profiles; by default what the import
    /// says, or else event
    #[arg(long, value_name = "TYPE", value_parser = data_type)]
    pub data_type: Option<DataType>,

    /// Column whose values name the rows; by default one whose values all differ, if its name says id
    #[arg(long, value_name = "FIELD")]
    pub insert_id: Option<String>,

    /// Column with the users; by default one whose name says so, such as user_id
    #[arg(long, value_name = "FIELD")]
    pub user_id: Option<String>,

    /// Column with the names of the events; by default one whose name says so, such as event
    #[arg(long, value_name = "FIELD")]
    pub event: Option<String>,

    /// How files are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// `forebay import preview`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Looks at the first 1,000 rows of up to three files, and stores nothing. Rows without an insert_id have a messageId
that begins with imp_preview_ here; in an import the id of the import is in that place.

Exit codes: 0 every row that was looked at becomes calls, 1 a file cannot be read, 2 wrong usage or the converter
has problems, 3 some rows would be rejected, 4 the store cannot be reached, 5 access denied.

Examples:
  forebay import preview --converter converter.json orders_2024-03-01.json.gz
  forebay import preview --converter converter.json s3://bucket/orders/ --samples 3
  forebay import preview --converter converter.json orders.json --watch
  forebay import preview orders --config forebay.toml --watch")]
pub struct PreviewArgs {
    /// File with the converter; without it, SRC is the name of an import in the configuration
    #[arg(long, value_name = "FILE")]
    pub converter: Option<PathBuf>,

    /// Configuration file with the import that is named: its bucket and its converter are used
    #[arg(long, value_name = "FILE", env = "FOREBAY_CONFIG")]
    pub config: Option<PathBuf>,

    /// Files, patterns, s3://bucket/key, s3://bucket/prefix/ (keys that match the converter's filterPattern),
    /// or - for standard input; without --converter the name of an import
    #[arg(value_name = "SRC", required = true)]
    pub sources: Vec<OsString>,

    /// Number of rows to show beside their calls
    #[arg(long, value_name = "N", default_value = "10")]
    pub samples: usize,

    /// What the rows are: event, user_properties, group_properties or profiles; by default event
    #[arg(long, value_name = "TYPE", value_parser = data_type, requires = "converter")]
    pub data_type: Option<DataType>,

    /// What new rows do to earlier ones: append_only or mirror; by default mirror for profiles
    #[arg(long, value_name = "STRATEGY", value_parser = strategy, requires = "converter")]
    pub strategy: Option<Strategy>,

    /// Show the preview again whenever the converter is saved, until a signal
    #[arg(long, action = ArgAction::SetTrue)]
    pub watch: bool,

    /// Print the preview as JSON; with --watch one line each
    #[arg(long, action = ArgAction::SetTrue)]
    pub json: bool,

    /// How files are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// How files are read.
#[derive(Clone, Debug, Args)]
pub struct ReadingArgs {
    /// URL of the store that s3:// sources are read from, if it is not AWS
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_S3", value_parser = Endpoint::parse)]
    pub endpoint_url: Option<Endpoint>,

    /// Folder for temporary copies; by default forebay in $XDG_STATE_HOME or ~/.local/state
    #[arg(long, value_name = "DIR", env = "FOREBAY_STATE")]
    pub state: Option<PathBuf>,

    /// Read compressed files even if they expand more than a thousand times
    #[arg(long)]
    pub allow_expansion: bool,
}

fn data_type(text: &str) -> Result<DataType, String> {
    DataType::of(text).ok_or_else(|| format!("expected {}", DataType::ALL.map(DataType::name).join(", ")))
}

fn strategy(text: &str) -> Result<Strategy, String> {
    Strategy::of(text).ok_or_else(|| format!("expected {}", Strategy::ALL.map(Strategy::name).join(", ")))
}
