//! The options of `forebay import run`, `reset-file`, `rename`, `test-credentials` and the like.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, FromArgMatches};

use crate::admin_client::AdminUrl;
use crate::object::object_key::is_spool_id;
use crate::sources::SourceId;

/// A running node, or a spool, and how the result is printed.
#[derive(Clone, Debug, Args)]
pub struct TypedNodeOrSpoolArgs {
    /// URL of the running node's admin listener; by default that of the configuration
    #[arg(long = "admin", value_name = "URL", env = "FOREBAY_ADMIN_URL")]
    pub admin: Option<AdminUrl>,

    /// File whose first line is the node's admin token; by default the token is in FOREBAY_ADMIN_TOKEN
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Configuration file: if its node is not running, the command works in its spool
    #[arg(long, value_name = "FILE", env = "FOREBAY_CONFIG")]
    pub config: Option<PathBuf>,

    /// Print the result as JSON
    #[arg(long, action = ArgAction::SetTrue)]
    pub json: bool,
}

/// The arguments, after a typed configuration has displaced the node of the environment.
#[derive(Clone, Debug)]
pub struct NodeOrSpoolArgs(TypedNodeOrSpoolArgs);

impl std::ops::Deref for NodeOrSpoolArgs {
    type Target = TypedNodeOrSpoolArgs;

    fn deref(&self) -> &TypedNodeOrSpoolArgs {
        &self.0
    }
}

impl Args for NodeOrSpoolArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        TypedNodeOrSpoolArgs::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        TypedNodeOrSpoolArgs::augment_args_for_update(command)
    }
}

// Written by hand, as that of the arguments of `import csv`.
impl FromArgMatches for NodeOrSpoolArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let mut args = TypedNodeOrSpoolArgs::from_arg_matches(matches)?;
        if is_typed("config") && !is_typed("admin") {
            args.admin = None;
        }
        Ok(Self(args))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// `forebay import run`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A running node makes the pass: after the one under way, and also if its interval is not over. If no node is running,
the command makes the pass in the spool of --config, and delivers the calls.

Exit codes: 0 all files imported, 1 a file failed, 2 wrong usage or configuration, 3 some rows were rejected,
4 the node or the store cannot be reached, 5 access denied, 130 interrupted.

Examples:
  forebay import run orders
  forebay import run orders --config forebay.toml --from orders/2026-11-01 --to orders/2026-11-30
  forebay import run orders --dry-run
  forebay import run orders --again --from orders/2026-11-01 --to orders/2026-11-01")]
pub struct RunArgs {
    /// The import, as in the configuration
    #[arg(value_name = "NAME", value_parser = SourceId::new)]
    pub name: SourceId,

    /// Import only objects from this key on
    #[arg(long, value_name = "KEY", allow_hyphen_values = true,
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub from: Option<String>,

    /// Import only objects up to this key, included
    #[arg(long, value_name = "KEY", allow_hyphen_values = true,
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub to: Option<String>,

    /// Also import files that are done, from their first row with the converter of now: their rows are stored
    /// again, with the same messageIds, but for those that insert_id_window drops
    #[arg(long, action = ArgAction::SetTrue)]
    pub again: bool,

    /// Say what a pass would do, and do nothing
    #[arg(long, action = ArgAction::SetTrue)]
    pub dry_run: bool,

    /// Where the import is.
    #[command(flatten)]
    pub at: NodeOrSpoolArgs,
}

/// `forebay import reset-file`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The file goes on at its next row if the object is the same. If another object is there now, that one begins at its
first row, and what is stored of the old one stays. The next pass reads it: see `forebay import run`.
With --accept-rejects nothing is read again.

Exit codes: 0 success, 1 the journal cannot be used, 2 wrong usage, or the file need not begin again, 4 the node or
the store cannot be reached, 5 access denied.

Examples:
  forebay import reset-file orders in/2026-11-01.json.gz
  forebay import reset-file orders --failed
  forebay import reset-file orders in/2026-11-01.json.gz --accept-rejects")]
pub struct ResetFileArgs {
    /// The import, as in the configuration
    #[arg(value_name = "NAME", value_parser = SourceId::new)]
    pub name: SourceId,

    /// The object's key: one that failed too often, or was replaced or is gone after rows of it were stored
    #[arg(value_name = "KEY", required_unless_present = "failed", conflicts_with = "failed", allow_hyphen_values = true,
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub key: Option<String>,

    /// All files that failed too often
    #[arg(long, action = ArgAction::SetTrue)]
    pub failed: bool,

    /// Instead: do without the rejected rows of the file; with --failed, of all files
    #[arg(long, action = ArgAction::SetTrue)]
    pub accept_rejects: bool,

    /// Where the import is.
    #[command(flatten)]
    pub at: NodeOrSpoolArgs,
}

/// `forebay import pause` and `forebay import resume`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A paused import stops at its next step, and goes on there when it is resumed. A pause lasts through restarts.

Exit codes: 0 success, 1 the journal cannot be used, 2 wrong usage, 4 the node cannot be reached, 5 access denied.

Example:
  forebay import pause orders --config forebay.toml")]
pub struct PauseArgs {
    /// The import, as in the configuration
    #[arg(value_name = "NAME", value_parser = SourceId::new)]
    pub name: SourceId,

    /// Where the import is.
    #[command(flatten)]
    pub at: NodeOrSpoolArgs,
}

/// `forebay import status`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Exit codes: 0 success, 1 failure, 2 wrong usage, 4 the node cannot be reached, 5 access denied.

Examples:
  forebay import status
  forebay import status orders --json")]
pub struct StatusArgs {
    /// The import; by default all imports of buckets
    #[arg(value_name = "NAME", value_parser = SourceId::new)]
    pub name: Option<SourceId>,

    /// Where the imports are.
    #[command(flatten)]
    pub at: NodeOrSpoolArgs,
}

/// `forebay import rename`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
First write the new name and enabled = false in the configuration, then rename, then set enabled = true. Otherwise the
import begins from its first file under the new name.

Exit codes: 0 success, 1 the journal cannot be used, 2 wrong usage, or the names do not allow it, 4 the node cannot be
reached, 5 access denied.

Example:
  forebay import rename orders sales")]
pub struct RenameArgs {
    /// The name that the import had
    #[arg(value_name = "OLD", value_parser = SourceId::new)]
    pub old: SourceId,

    /// The name that the configuration has now
    #[arg(value_name = "NEW", value_parser = SourceId::new)]
    pub new: SourceId,

    /// Where the import is.
    #[command(flatten)]
    pub at: NodeOrSpoolArgs,
}

/// `forebay import release`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Only for an instance whose disk is lost: its files are imported from their first row, and rows that it had delivered
come twice, with equal messageIds. `forebay import status` names the instances whose files wait.

Exit codes: 0 success, 1 the journal cannot be used, 2 wrong usage, or it is this instance, 4 the node or the store
cannot be reached, 5 access denied.

Example:
  forebay import release orders --instance 0123456789abcdef0123456789abcdef --dry-run")]
pub struct ReleaseArgs {
    /// The import, as in the configuration
    #[arg(value_name = "NAME", value_parser = SourceId::new)]
    pub name: SourceId,

    /// The id of the instance
    #[arg(long, value_name = "ID", value_parser = spool_id)]
    pub instance: String,

    /// Say which files would be free, and change nothing
    #[arg(long, action = ArgAction::SetTrue)]
    pub dry_run: bool,

    /// Where the import is.
    #[command(flatten)]
    pub at: NodeOrSpoolArgs,
}

fn spool_id(text: &str) -> Result<String, &'static str> {
    is_spool_id(text)
        .then(|| text.to_owned())
        .ok_or("expected 32 hexadecimal digits, as `import status` shows")
}

/// `forebay import test-credentials`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The command asks the token service and the bucket from this machine, with its credentials. It reads the first byte of
one file. In a shared journal, and where rejected rows go to a bucket, it puts a small object. No node, no spool and no
converter is needed.

Exit codes: 0 no right is missing, 2 wrong usage or configuration, or the bucket or key cannot be used, 4 a service
cannot be reached, 5 a right is missing.

Example:
  forebay import test-credentials orders --config forebay.toml")]
pub struct TestCredentialsArgs {
    /// The import, as in the configuration
    #[arg(value_name = "NAME", value_parser = SourceId::new)]
    pub name: SourceId,

    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "forebay.toml", env = "FOREBAY_CONFIG")]
    pub config: PathBuf,

    /// Print the result as JSON
    #[arg(long, action = ArgAction::SetTrue)]
    pub json: bool,
}

/// `forebay import setup-notifications`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The command adds a rule to the notifications of the bucket, which sends s3:ObjectCreated:* of keys with the import's
prefix to its queue_url. Everything else that the bucket has stays as it is: queues, topics, functions, EventBridge. It
asks the bucket as the import does, and needs no node and no spool. The same command again changes nothing.

Exit codes: 0 success, 1 somebody else changed the rules at the same time, 2 wrong usage or configuration, or another
rule is in the way, 4 the bucket or the queue cannot be reached, 5 a right is missing.

Examples:
  forebay import setup-notifications orders --config forebay.toml --dry-run
  forebay import setup-notifications orders --undo")]
pub struct SetupNotificationsArgs {
    /// The import, as in the configuration
    #[arg(value_name = "NAME", value_parser = SourceId::new)]
    pub name: SourceId,

    /// Remove the rule that this command added, also if it was changed since
    #[arg(long, action = ArgAction::SetTrue)]
    pub undo: bool,

    /// Say what would change, and change nothing
    #[arg(long, action = ArgAction::SetTrue)]
    pub dry_run: bool,

    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "forebay.toml", env = "FOREBAY_CONFIG")]
    pub config: PathBuf,

    /// Print the result as JSON
    #[arg(long, action = ArgAction::SetTrue)]
    pub json: bool,
}
