//! The token for an admin listener: from the environment or from a file, never from the arguments, which
//! every user of the machine can read.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use http::HeaderValue;

/// The environment variable with the token. The same name overrides `admin.token` of a collector: on its own
/// machine, one setting serves both.
pub const VARIABLE: &str = "FOREBAY_ADMIN_TOKEN";
/// The most bytes of a token.
const TOKEN_BYTES_MAX: usize = 4_096;
/// The most bytes of a token file that are read.
const FILE_BYTES_MAX: u64 = 64 * 1_024;
/// Set in the mode of a file that every user may read.
const READABLE_BY_OTHERS: u32 = 0o004;

/// A token. Its text is not shown.
#[derive(Clone)]
pub struct AdminToken {
    /// The value of the header `Authorization`.
    pub(super) header: HeaderValue,
    pub(super) from: TokenFrom,
}

/// Where a token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFrom {
    /// The environment variable [`VARIABLE`].
    Environment,
    /// A file.
    File(PathBuf),
}

/// Why there is no usable token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("read the token in {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// The first line is empty.
    #[error("{} has no token: its first line is empty", .0.display())]
    Empty(PathBuf),
    /// It cannot be sent in a header.
    #[error(
        "the token in {0} cannot be sent: expected at most {TOKEN_BYTES_MAX} visible ASCII characters, \
         without spaces"
    )]
    NotAToken(TokenFrom),
}

impl AdminToken {
    /// The token of a command: that of the file if one is named, else that of the environment.
    pub fn of_command(file: Option<&Path>) -> Result<Option<Self>, TokenError> {
        match file {
            Some(path) => Self::in_file(path).map(Some),
            None => match std::env::var_os(VARIABLE) {
                Some(text) => Self::in_environment(&text),
                None => Ok(None),
            },
        }
    }

    fn in_environment(text: &OsStr) -> Result<Option<Self>, TokenError> {
        let from = TokenFrom::Environment;
        let Some(text) = text.to_str() else { return Err(TokenError::NotAToken(from)) };
        let text = text.trim();
        // The forms that `serve` reads in the same variable.
        if let Some(path) = text.strip_prefix("file:") {
            return Self::in_file(Path::new(path)).map(Some);
        }
        let other = text.strip_prefix("env:").map(|name| std::env::var_os(name).unwrap_or_default());
        let Some(text) = other.as_ref().map_or(Some(text), |other| other.to_str().map(str::trim)) else {
            return Err(TokenError::NotAToken(from));
        };
        match text {
            "" => Ok(None),
            text => Self::new(text, from).map(Some),
        }
    }

    fn in_file(path: &Path) -> Result<Self, TokenError> {
        let (text, about) = first_line(path).map_err(|cause| TokenError::Read(path.to_owned(), cause))?;
        if about.is_file() && about.permissions().mode() & READABLE_BY_OTHERS != 0 {
            tracing::warn!("every user can read the token in {}: chmod 600 it", path.display());
        }
        match text.trim() {
            "" => Err(TokenError::Empty(path.to_owned())),
            text => Self::new(text, TokenFrom::File(path.to_owned())),
        }
    }

    fn new(text: &str, from: TokenFrom) -> Result<Self, TokenError> {
        let is_token = text.len() <= TOKEN_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        match HeaderValue::try_from(format!("Bearer {text}")) {
            Ok(mut header) if is_token => {
                header.set_sensitive(true);
                Ok(Self { header, from })
            }
            _ => Err(TokenError::NotAToken(from)),
        }
    }
}

fn first_line(path: &Path) -> io::Result<(String, Metadata)> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    Ok((line.to_owned(), about))
}

debug_fields!(AdminToken { from });

impl fmt::Display for TokenFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str(VARIABLE),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, content).unwrap();
        file
    }

    #[test]
    fn the_first_line_of_a_file_is_the_token() {
        let check = |content: &str, expected: &str| {
            let token = AdminToken::in_file(file(content.as_bytes()).path()).unwrap();
            assert_eq!(token.header.to_str().unwrap(), expected);
            assert!(token.header.is_sensitive());
            assert!(!format!("{token:?}").contains("s3cret"), "{token:?}");
        };
        check("s3cret", "Bearer s3cret");
        check("  s3cret \r\nsecond line\n", "Bearer s3cret");
        let longest = "x".repeat(TOKEN_BYTES_MAX);
        check(&longest, &format!("Bearer {longest}"));
    }

    #[test]
    fn what_cannot_be_a_token_is_refused_without_quoting_it() {
        let check = |content: &[u8], said: &str| {
            let file = file(content);
            let error = crate::words::with_causes(&AdminToken::in_file(file.path()).unwrap_err());
            assert!(error.contains(said) && error.contains(&*file.path().to_string_lossy()), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        };
        check(b"", "its first line is empty");
        check(b"\ns3cret", "its first line is empty");
        check(b"two s3cret", "cannot be sent");
        check("s3cret\u{fc}".as_bytes(), "cannot be sent");
        check("x".repeat(TOKEN_BYTES_MAX + 1).as_bytes(), "cannot be sent");
        check(&[b'x'; 128 * 1_024], "cannot be sent");
        check(b"\xff", "read the token");
        let missing = AdminToken::in_file(Path::new("/nowhere/token")).unwrap_err();
        assert!(matches!(missing, TokenError::Read(..)), "{missing:?}");
    }

    #[test]
    fn an_empty_variable_is_no_token() {
        assert!(AdminToken::in_environment(OsStr::new(" ")).unwrap().is_none());
        let token = AdminToken::in_environment(OsStr::new("s3cret\n")).unwrap().unwrap();
        assert_eq!(token.header.to_str().unwrap(), "Bearer s3cret");
        assert!(AdminToken::in_environment(OsStr::new("a b")).is_err());
        assert!(AdminToken::in_environment(OsStr::new("env:FOREBAY_NOT_SET")).unwrap().is_none());
        let file = file(b"of-file");
        let named = format!("file:{}", file.path().display());
        let token = AdminToken::in_environment(OsStr::new(&named)).unwrap().unwrap();
        assert_eq!(token.header.to_str().unwrap(), "Bearer of-file");
    }
}
