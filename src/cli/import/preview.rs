//! `forebay import preview`: rows beside the calls that a converter makes of them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::converter_args::PreviewArgs;
use super::dry_run::code_of_fault;
use super::infer::{opening, store};
use crate::call::Limits;
use crate::cli::failure::{self, Failure};
use crate::cli::print_json::{print_json, print_json_line};
use crate::cli::serve;
use crate::convert::{Converter, ConverterId, DataType};
use crate::import::sample::{Preview, preview_files, read_converter, sample_files, saved, text_of};
use crate::node::bucket_imports::{converter_path, preview_import};
use crate::runtime::SystemClock;
use crate::runtime::progress::eprint_line;
use crate::runtime::terminal::{self, Interrupts};
use crate::sources::SourceId;
use crate::time::Clock as _;
use crate::words::TypedOptions;

/// The columns of a text that is not for a terminal.
const COLUMNS: usize = 120;

/// Shows the preview; with `--watch` again whenever the converter is saved.
/// Errors: [`Failure`]: the converter has problems, files cannot be read, or rows would be rejected.
pub(super) async fn run(args: &PreviewArgs, out: &mut dyn Write) -> Result<(), Failure> {
    if !args.watch {
        let preview = preview(args).await?;
        print(args, &preview, out)?;
        return failure_of(&preview);
    }
    if args.sources.iter().any(|source| source == "-") {
        return Err(Failure::usage("standard input can be read only once: name a file for --watch"));
    }
    let path = match &args.converter {
        Some(path) => path.clone(),
        None => {
            let (name, config) = of_import(args)?;
            converter_path(&serve::load_for_imports(&config)?, &name, &config)?
        }
    };
    let mut interrupts = Interrupts::listen()?;
    let mut text = read_converter(&path)?;
    loop {
        let seen = ConverterId::of(&text);
        let shown = async {
            match preview(args).await {
                Ok(preview) => print(args, &preview, out).map_err(Failure::from),
                // The person who is writing the converter corrects it next.
                Err(problem) => {
                    eprint_line(&problem.to_string());
                    Ok(())
                }
            }?;
            Ok(saved(&path, seen).await)
        };
        text = tokio::select! {
            () = interrupts.next() => return Ok(()),
            saved = shown => saved.map_err(|failure: Failure| failure)?,
        };
        if !args.json {
            writeln!(out, "\n{}\n", "=".repeat(width()))?;
        }
    }
}

/// The preview with the converter as it is now.
async fn preview(args: &PreviewArgs) -> Result<Preview, Failure> {
    match &args.converter {
        Some(path) => of_files(args, path, &read_converter(path)?).await,
        None => {
            let (name, config) = of_import(args)?;
            let loaded = serve::load_for_imports(&config)?;
            let preview = preview_import(&loaded, &name, opening(&args.reading), args.samples).await?;
            let config = Some(config.to_string_lossy().into_owned());
            let typed = TypedOptions { config, admin: None };
            let warnings = preview.warnings.iter().map(|warning| typed.added_to(warning)).collect();
            Ok(Preview { warnings, ..preview })
        }
    }
}

/// The import that is named, and the configuration that it is in.
fn of_import(args: &PreviewArgs) -> Result<(SourceId, PathBuf), Failure> {
    let usage = |what: &str| Err(Failure::usage(what.to_owned()));
    let [name] = args.sources.as_slice() else {
        return usage("name the file of a converter with --converter, or one import of the configuration");
    };
    let Some(name) = name.to_str().and_then(|name| SourceId::new(name).ok()) else {
        let what = "is the name of no import: name the file of a converter with --converter";
        return usage(&format!("{} {what}", name.display()));
    };
    match &args.config {
        Some(config) => Ok((name, config.clone())),
        None => usage("name the configuration with the import: --config FILE"),
    }
}

async fn of_files(args: &PreviewArgs, path: &Path, text: &[u8]) -> Result<Preview, Failure> {
    let data_type = args.data_type.unwrap_or(DataType::Event);
    let strategy = args.strategy.unwrap_or(data_type.default_strategy());
    let converter = Converter::load(text, data_type, strategy, Limits::default().max_event);
    let converter = converter.map_err(|error| {
        Failure::usage(format!("the converter {} cannot be used:\n{error}", path.display()))
    })?;
    let opening = opening(&args.reading);
    let store = store(&args.reading, &args.sources).await.map(|store| store as _);
    let pattern = converter.file().pattern.as_ref();
    let files = sample_files(&args.sources, store.as_ref(), pattern, &opening).await?;
    let now = SystemClock::new().wall();
    Ok(preview_files(files, Arc::new(converter), opening, args.samples, now).await?)
}

fn print(args: &PreviewArgs, preview: &Preview, out: &mut dyn Write) -> std::io::Result<()> {
    match (args.json, args.watch) {
        (true, true) => print_json_line(out, preview)?,
        (true, false) => print_json(out, preview)?,
        (false, _) => out.write_all(text_of(preview, width()).as_bytes())?,
    }
    out.flush()
}

fn width() -> usize {
    terminal::columns(&std::io::stdout()).unwrap_or(COLUMNS)
}

fn failure_of(preview: &Preview) -> Result<(), Failure> {
    let faults = preview.files.iter().filter_map(|file| file.fault);
    match faults.map(code_of_fault).max() {
        Some(code) => Err(Failure::with_code(code, "some files cannot be read")),
        None if preview.rejected > 0 => {
            Err(Failure::with_code(failure::SOME_REJECTED, "some rows would be rejected"))
        }
        None => Ok(()),
    }
}
