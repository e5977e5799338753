//! How much the live view shows.

/// How much the live view shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Everything that is stored.
    Full,
    /// Everything but personal data ([`super::mask`]).
    #[default]
    Masked,
    /// Nothing. Only the names of SDKs are noted.
    Off,
}

impl Mode {
    /// Its name in the configuration.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Masked => "masked",
            Self::Off => "off",
        }
    }
}
