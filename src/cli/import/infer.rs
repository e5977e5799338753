//! `forebay import infer-converter`: a first converter.

use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;

use super::converter_args::{InferArgs, ReadingArgs};
use super::dry_run::code_of;
use crate::call::Limits;
use crate::cli::failure::{FAILED, Failure, WRONG_USAGE};
use crate::cli::serve;
use crate::convert::DataType;
use crate::convert::infer::NamedColumns;
use crate::import::discovery::files::temporary;
use crate::import::discovery::inputs::any_in_s3;
use crate::import::sample::{AskedConverter, InferError, Opening, infer_first, sample_files};
use crate::import::state_folder::state_folder;
use crate::node::bucket_imports::infer_import;
use crate::node::import_store::{ImportStore, import_store};
use crate::runtime::progress::eprint_line;
use crate::runtime::{SystemClock, SystemRandom};
use crate::sources::SourceId;
use crate::time::Clock as _;

/// Prints a converter, and what was decided about it.
/// Errors: [`Failure`]: the file cannot be read, or no converter can be made of it.
pub(super) async fn run(args: &InferArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let [insert_id, user_id, event] = [&args.insert_id, &args.user_id, &args.event].map(Option::clone);
    let (opening, named) = (opening(&args.reading), NamedColumns { insert_id, user_id, event });
    let asked = AskedConverter { data_type: args.data_type, named };
    let inferred = match &args.config {
        Some(config) => {
            let name = args.file.to_str().and_then(|name| SourceId::new(name).ok());
            let name = name.ok_or_else(|| {
                let what = "is the name of no import: with --config, name an import of that file";
                Failure::usage(format!("{} {what}", args.file.display()))
            })?;
            infer_import(&serve::load_for_setup(config)?, &name, opening, asked).await?
        }
        None => {
            let sources = std::slice::from_ref(&args.file);
            let store = store(&args.reading, sources).await.map(|store| store as _);
            let files = sample_files(sources, store.as_ref(), None, &opening).await?;
            let wanted = asked.wanted(DataType::Event, Limits::default().max_event);
            infer_first(files, opening, wanted, SystemClock::new().wall()).await
        }
    };
    let inferred = inferred.map_err(|error| {
        let code = match &error {
            InferError::File(error) => code_of(error),
            InferError::Cannot(error) if error.is_wrong_usage() => WRONG_USAGE,
            InferError::Cannot(_) | InferError::NoFile | InferError::Task(_) => FAILED,
        };
        Failure::with_code(code, format!("{}: {error}", args.file.display()))
    })?;
    inferred.notes.iter().for_each(|note| eprint_line(note));
    out.write_all(inferred.text.as_bytes())?;
    Ok(out.flush()?)
}

/// How files are opened.
pub(super) fn opening(args: &ReadingArgs) -> Opening {
    let state = state_folder(args.state.as_ref(), |name| std::env::var_os(name).map(Into::into));
    let allow_expansion = args.allow_expansion;
    Opening { temporary: temporary(&state), allow_expansion, random: Arc::new(SystemRandom) }
}

/// The store of the environment, if one of the sources is in S3.
pub(super) async fn store(args: &ReadingArgs, sources: &[OsString]) -> Option<ImportStore> {
    match any_in_s3(sources) {
        true => Some(import_store(None, args.endpoint_url.as_ref()).await),
        false => None,
    }
}
