//! Reads the file, the environment, and the variables and files that secrets refer to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::admin_token::AdminToken;
use crate::destinations::settings::DestinationSettings;

use super::admin;
use super::checked::Config;
use super::destinations::{self, Around};
use super::dev_file::{self, DevFile};
use super::imports;
use super::in_force::{self, ConfigValue, Origins};
use super::problem::{ConfigError, ConfigProblem, SettingPlace};
use super::raw::{Raw, Typed, VARIABLE_PREFIX, variable_of};
use super::reload;
use super::secret::{OtherFile, Outside, add_file, read_text};
use super::sections;

/// The longest configuration file, in bytes: several times what ten thousand sources need.
pub const CONFIG_FILE_MAX: u64 = 16 << 20;

/// The environment variables of the process at its start. They contain secrets, so `Debug` shows none.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// Names of Forebay's variables whose value is not UTF-8.
    unreadable: Vec<String>,
}

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os())
    }

    /// The given variables. Those that are not UTF-8 are left out; if the name begins with `FOREBAY_`,
    /// loading fails.
    pub fn of<N: Into<OsString>, V: Into<OsString>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut all = Self::default();
        for (name, value) in variables {
            match (name.into().into_string(), value.into().into_string()) {
                (Ok(name), Ok(value)) => drop(all.variables.insert(name, value)),
                (Ok(name), Err(_)) if name.starts_with(VARIABLE_PREFIX) => all.unreadable.push(name),
                _ => {}
            }
        }
        all
    }

    /// The admin token of a process without a configuration file: `FOREBAY_ADMIN_TOKEN`, resolved as in a
    /// file. Errors: the problem, which never shows the token.
    pub fn admin_token(&self) -> Result<Option<AdminToken>, ConfigProblem> {
        let variable = variable_of("admin", "token");
        let Some(value) = self.variables.get(&variable).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let outside = self.outside("");
        admin::token(&Typed::Variable(value.clone()), &outside)
            .map(Some)
            .map_err(|what| ConfigProblem::new(SettingPlace::Nowhere, variable, what))
    }

    /// The value of a variable of Forebay; `None` if it is not set, or empty. Errors: it is not UTF-8.
    pub fn text(&self, variable: &str) -> Result<Option<&str>, String> {
        if self.unreadable.iter().any(|name| name == variable) {
            return Err(format!("{variable} is not UTF-8: set another value"));
        }
        Ok(self.variables.get(variable).map(String::as_str).filter(|value| !value.is_empty()))
    }

    /// A destination from the TOML that was kept of it, although the file no longer has it. Its secrets are
    /// resolved now. Errors: what is wrong, in one line.
    pub fn destination(&self, typed: &str) -> Result<DestinationSettings, String> {
        let found = Raw::parse(typed).and_then(|raw| self.destinations(raw));
        let first = found.and_then(|found| found.into_iter().next().ok_or_else(Vec::new));
        first.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    /// The destinations of a file, without the rest of it. Errors: all problems.
    fn destinations(&self, mut raw: Raw) -> Result<Vec<DestinationSettings>, Vec<ConfigProblem>> {
        let mut problems = std::mem::take(&mut raw.problems);
        let outside = self.outside("");
        let found = destinations::check(&raw.destinations, &Around::alone(&outside), &mut problems);
        if problems.is_empty() { Ok(found) } else { Err(problems) }
    }

    /// What the secrets of a configuration with this text refer to.
    fn outside(&self, text: &str) -> Outside<'_> {
        Outside {
            variables: &self.variables,
            secrets_needed: true,
            converters_needed: true,
            takes_dev_files: false,
            reads_files: true,
            folder: Path::new(""),
            digest: RefCell::new(Sha256::new_with_prefix(text)),
            files: RefCell::default(),
        }
    }
}

impl DevFile {
    /// Reads a file. Also returns the sections that are not used. Errors: [`ConfigError`] with all problems.
    pub fn read(path: &Path, environment: &Environment) -> Result<(Self, Vec<&'static str>), ConfigError> {
        let mut raw = raw_of(path)?;
        let mut unused = raw.unused();
        unused.retain(|section| *section != "import");
        let folder = path.parent().unwrap_or(Path::new(""));
        let taken = Self::take(&mut raw, &Outside { folder, ..environment.outside("") });
        taken.map(|file| (file, unused)).map_err(|problems| ConfigError::of(path, problems))
    }
}

/// The destinations of a file that has nothing else but imports, as `dev` takes it. `None` if it has more, has no
/// destination, or cannot be read.
/// Errors: [`ConfigError`] with all problems.
pub fn destinations_alone(
    path: &Path,
    environment: &Environment,
) -> Option<Result<Vec<DestinationSettings>, ConfigError>> {
    let raw = raw_of(path).ok()?;
    let alone = raw.unused().iter().all(|section| *section == "import") && !raw.destinations.is_empty();
    alone.then(|| environment.destinations(raw).map_err(|problems| ConfigError::of(path, problems)))
}

fn raw_of(path: &Path) -> Result<Raw, ConfigError> {
    let text = read_text(path, CONFIG_FILE_MAX).map_err(|what| ConfigError::unreadable(path, what))?;
    Raw::parse(&text).map_err(|problems| ConfigError::of(path, problems))
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.variables.len())
    }
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Problems that do not prevent a start: unknown variables that begin with `FOREBAY_`.
    pub warnings: Vec<String>,
    pub(super) origins: Origins,
    pub(super) content: Content,
}

impl Loaded {
    /// Every setting and where it is from; of the sources the first ones. Secrets are hidden.
    pub fn values(&self) -> Vec<ConfigValue> {
        in_force::values(&self.config, &self.origins)
    }

    /// What is in force after `new` was loaded: settings that need a restart stay as they are.
    #[must_use]
    pub fn after_reload(&self, new: Self) -> Self {
        let config = reload::in_force(&self.config, &new.config);
        let (before, after) = ((&self.config, &self.origins), (&new.config, &new.origins));
        let origins = in_force::origins_after_reload(before, &config, after);
        Self { config, origins, ..new }
    }
}

/// Identifies what was read, to detect changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// The SHA-256 of the file and of the files it refers to.
    digest: [u8; 32],
    /// The files that the file refers to, in the order in which they were read.
    files: Vec<OtherFile>,
}

impl Content {
    /// The content of a file that cannot be read.
    fn unreadable(what: &str) -> Self {
        Self { digest: Sha256::digest(format!("unreadable: {what}")).into(), files: Vec::new() }
    }
}

/// Loads a configuration, any number of times.
#[derive(Clone, Debug)]
pub struct Loader {
    path: PathBuf,
    environment: Environment,
    secrets_needed: bool,
    converters_needed: bool,
    takes_dev_files: bool,
}

impl Loader {
    /// Loads the file at `path`, overridden by `environment`.
    pub fn new(path: impl Into<PathBuf>, environment: Environment) -> Self {
        Self {
            path: path.into(),
            environment,
            secrets_needed: true,
            converters_needed: true,
            takes_dev_files: false,
        }
    }

    /// Substitutes placeholders for missing variables and files of secrets, so that a configuration can be
    /// examined on a machine without them. Never use the write keys and tokens of such a configuration.
    pub fn without_secrets(self) -> Self {
        Self { secrets_needed: false, ..self }
    }

    /// Accepts imports whose converter is missing or wrong, because access to a bucket is set up before its
    /// converter is written. Such an import cannot be run.
    pub fn without_converters(self) -> Self {
        Self { converters_needed: false, ..self }
    }

    /// Takes also a file that only `forebay dev` takes, because it has imports and neither a bucket for calls
    /// nor a source, and reads it as that does. A warning says so.
    pub fn with_dev_files(self) -> Self {
        // Such a file is of no use without dev mode.
        Self { takes_dev_files: cfg!(feature = "dev"), ..self }
    }

    /// The path of the configuration file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and checks everything. Blocks on the file system. Errors: [`ConfigError`] with all problems.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        self.look().1
    }

    /// Itself with what it loads, for those who watch the file on. Errors: [`ConfigError`] with all problems.
    pub fn with_loaded(self) -> Result<(Self, Loaded), ConfigError> {
        let loaded = self.load()?;
        Ok((self, loaded))
    }

    /// Whether the content is still `content`. It compares digests and does not parse: with ten thousand
    /// sources, parsing takes milliseconds and megabytes, and this runs every 2 seconds.
    pub(super) fn is_still(&self, content: &Content) -> bool {
        let text = match read_text(&self.path, CONFIG_FILE_MAX) {
            Ok(text) => text,
            Err(what) => return *content == Content::unreadable(&what),
        };
        let mut digest = Sha256::new_with_prefix(&text);
        for file in &content.files {
            add_file(&mut digest, &read_text(&file.path, file.bytes_max));
        }
        content.digest == <[u8; 32]>::from(digest.finalize())
    }

    /// Like [`Loader::load`], and returns the content even if it is invalid.
    pub(super) fn look(&self) -> (Content, Result<Loaded, ConfigError>) {
        let text = match read_text(&self.path, CONFIG_FILE_MAX) {
            Ok(text) => text,
            Err(what) => {
                return (Content::unreadable(&what), Err(ConfigError::unreadable(&self.path, what)));
            }
        };
        let outside = Outside {
            secrets_needed: self.secrets_needed,
            converters_needed: self.converters_needed,
            takes_dev_files: self.takes_dev_files,
            folder: self.path.parent().unwrap_or(Path::new("")),
            ..self.environment.outside(&text)
        };
        let checked = check(&text, &self.environment, &outside);
        let digest = outside.digest.into_inner().finalize().into();
        let content = Content { digest, files: outside.files.into_inner() };
        let loaded = checked
            .map(|(config, warnings, origins)| Loaded { config, warnings, origins, content: content.clone() })
            .map_err(|problems| ConfigError::of(&self.path, problems));
        (content, loaded)
    }
}

/// Checks a configuration's text and its overrides as [`Loader::load`] does, but reads no files: a secret
/// given as a file is a problem. Errors: all problems.
pub fn check_text(
    text: &str,
    environment: &Environment,
) -> Result<(Config, Vec<String>), Vec<ConfigProblem>> {
    let outside = Outside { reads_files: false, ..environment.outside(text) };
    check(text, environment, &outside).map(|(config, warnings, _)| (config, warnings))
}

fn check(
    text: &str,
    environment: &Environment,
    outside: &Outside<'_>,
) -> Result<(Config, Vec<String>, Origins), Vec<ConfigProblem>> {
    let mut raw = Raw::parse(text)?;
    let ours = environment.variables.range(VARIABLE_PREFIX.to_owned()..);
    raw.override_by(ours.map(|(name, value)| (name.as_str(), value.as_str())));
    let mut warnings = std::mem::take(&mut raw.warnings);
    let origins = Origins::of(&raw);
    let checked = match outside.takes_dev_files && dev_file::is_of_dev(&raw) {
        true => dev_file::config(raw, outside).map(|(config, said)| {
            warnings.push(said);
            config
        }),
        false => sections::check(raw, outside),
    };
    if let Ok(config) = &checked {
        warnings.extend(imports::warnings(&config.imports));
    }
    if environment.unreadable.is_empty() {
        return checked.map(|config| (config, warnings, origins));
    }
    let mut problems = checked.err().unwrap_or_default();
    problems.extend(environment.unreadable.iter().map(|name| {
        ConfigProblem::new(SettingPlace::Variable(name.clone()), name, "has a value that is not UTF-8")
    }));
    Err(problems)
}
