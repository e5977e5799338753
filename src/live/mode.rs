//! How much the live view shows.

closed_list! {
    /// How much the live view shows, by its name in the configuration.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Mode by slug {
        /// Everything that is stored.
        Full = "full",
        /// Everything but personal data ([`super::mask`]).
        #[default]
        Masked = "masked",
        /// Nothing. Only the names of SDKs are noted.
        Off = "off",
    }
}
