//! Several instances share a bucket: a file belongs for good to the instance that has its claim, a small
//! object in S3, because what an instance has stored is on its disk and will be delivered, alive or dead.
//!
//! `form` is how a claim and a name are written, [`ClaimFiles`] where they are, `note` what the journal of
//! this instance knows of them. `decide` says what follows from all of it, without doing anything;
//! [`SharedImport`] does it.

mod close;
mod decide;
mod files;
mod form;
mod names;
mod note;
mod outage;
mod release;
mod retried;
mod shared;
mod stored;
mod sync;
mod turns;

pub use close::Closed;
pub use files::{ClaimFiles, FilesPage, ListedFile};
pub use form::{Claim, ClaimState, claim_name};
pub(crate) use names::SharedId;
pub use names::{NameWith, rename_shared};
pub use note::{ClaimedFile, claimed_files, elsewhere};
pub use outage::Outage;
pub use release::{Released, Releasing};
pub(crate) use shared::{AT_ONCE, Known};
pub use shared::{Claimed, ClaimsError, NoRight, SharedImport, Undelivered};
