//! What follows from a claim, what the journal here knows of it, and a name that is shared. Pure.

use super::form::{ClaimState, SharedName};
use super::note::{Found, Note, Owned};
use crate::import::import_id::ImportId;
use crate::import::import_names::{Changed, FixedSettings, NamedImport};
use crate::planted_bugs::{PlantedBug, planted};

/// Whose a file is, to this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nobody's, as far as is known.
    Free,
    /// This instance's.
    Ours,
    /// That of the instance with this id. `waits`: it is not delivered.
    Theirs { instance: String, waits: bool },
    /// Not known: the claim is damaged, or is gone although it was there. The text says which.
    Unknown(String),
}

/// What is known of the owner of a file, to the instance `me`.
pub(super) fn look(note: Option<&Note>, me: &str) -> Look {
    match note.map(|note| &note.found) {
        None => Look::Free,
        Some(Found::Damaged(what)) => Look::Unknown(what.clone()),
        // Only this instance can have made it, so it makes it again.
        Some(Found::Missing(owned)) if owned.instance == me => Look::Free,
        Some(Found::Missing(owned)) => {
            Look::Unknown(format!("it is gone, and belonged to the instance {}", owned.instance))
        }
        Some(Found::Claim(owned)) => match owned.state {
            ClaimState::Released => Look::Free,
            _ if owned.instance == me => Look::Ours,
            state => Look::Theirs { instance: owned.instance.clone(), waits: state == ClaimState::Open },
        },
    }
}

/// What an instance does that is about to import a version of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It writes the claim, which must not be there.
    Create,
    /// It writes the claim in place of the one that is known: that one is released, or says that all is
    /// delivered, and more comes now.
    Replace,
    /// It begins: the claim says that it may.
    Begin,
    /// It leaves the file to the instance with this id.
    Leave(String),
    /// It waits for a person.
    Wait(String),
}

/// What the instance `me` does that is about to import the version with this tag and length. `again`: the
/// file is imported again although it may be done.
pub(super) fn turn(note: Option<&Note>, me: &str, version: (&str, u64), again: bool) -> Turn {
    let claim = note.and_then(Note::claim);
    match (look(note, me), claim) {
        (Look::Theirs { instance, .. }, _) => Turn::Leave(instance),
        (Look::Unknown(what), _) => Turn::Wait(what),
        (Look::Free, Some(_)) => Turn::Replace,
        (Look::Free, None) => Turn::Create,
        (Look::Ours, Some(owned)) if owned.state == ClaimState::Delivered => {
            let is_same = (owned.etag.as_str(), owned.size) == version;
            if is_same && !again { Turn::Begin } else { Turn::Replace }
        }
        (Look::Ours, _) => Turn::Begin,
    }
}

/// What an instance does with the claim of a file when its last row is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// It writes the claim, which must not be there.
    Create,
    /// It writes the claim in place of the one that is known.
    Replace,
    /// Nothing: the claim says so.
    Nothing,
    /// Nothing: the file was released meanwhile, and the instance with this id has it now.
    Lost(String),
    /// It waits for a person.
    Wait(String),
}

/// What the instance `me` does with a claim when the last row is delivered.
pub(super) fn closing(note: Option<&Note>, me: &str) -> Closing {
    let claim = note.and_then(Note::claim);
    match (look(note, me), claim) {
        (Look::Theirs { instance, .. }, _) => Closing::Lost(instance),
        (Look::Unknown(what), _) => Closing::Wait(what),
        // It was released, and nobody has taken it: nobody needs to.
        (Look::Free, Some(_)) => Closing::Replace,
        (Look::Free, None) => Closing::Create,
        (Look::Ours, Some(owned)) if owned.state == ClaimState::Delivered => Closing::Nothing,
        (Look::Ours, _) => Closing::Replace,
    }
}

/// The key of a claim that is to be closed once the rows of its file are delivered: the instance's own one that is not. A
/// release that nobody made use of, and a claim that was removed, leave the file to the instance that has imported it.
pub(super) fn unclosed<'n>(note: &'n Note, me: &str) -> Option<&'n str> {
    let (owned, is_closed) = match &note.found {
        Found::Claim(owned) => (owned, owned.state == ClaimState::Delivered),
        Found::Missing(owned) => (owned, false),
        Found::Damaged(_) => return None,
    };
    (owned.instance == me && !is_closed).then_some(owned.key.as_str())
}

/// Whether a claim is one that a release of `instance` frees: open, or gone.
pub(super) fn frees(note: &Note, instance: &str) -> bool {
    match &note.found {
        Found::Claim(owned) => {
            let is_free = owned.state == ClaimState::Open
                || (owned.state == ClaimState::Delivered && planted(PlantedBug::DeliveredReleased));
            owned.instance == instance && is_free
        }
        Found::Missing(owned) => owned.instance == instance && owned.state != ClaimState::Released,
        Found::Damaged(_) => false,
    }
}

impl Note {
    /// The claim that is there.
    pub(super) fn claim(&self) -> Option<&Owned> {
        match &self.found {
            Found::Claim(owned) => Some(owned),
            Found::Damaged(_) | Found::Missing(_) => None,
        }
    }
}

/// What an instance does with a name that it shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NameTurn {
    /// It uses the id that it knows.
    Use(ImportId),
    /// It takes over the id that others use.
    Adopt(ImportId),
    /// It makes the name with the id that it knows when a file begins; nobody has made it.
    Make,
    /// It claims what it has imported so far, and makes the name then; nobody has made it.
    Bring,
    /// The settings of another instance differ.
    Fixed(Vec<Changed>),
    /// The import has another name now.
    Renamed(String),
    /// This instance has a history of its own under the name.
    OwnHistory,
    /// The name was made, and is gone.
    Gone,
}

/// What an instance does with a name. `here`: what its own journal has of it; `there`: what the shared one
/// has; `now`: the settings.
pub(super) fn name_turn(
    here: Option<&NamedImport>,
    there: Option<&SharedName>,
    now: &FixedSettings,
) -> NameTurn {
    let begun = here.and_then(|here| here.fixed.as_ref().map(|fixed| (here.id, fixed)));
    let Some(there) = there else {
        return match begun {
            Some((_, fixed)) if fixed.journal == now.journal => NameTurn::Gone,
            Some(_) => NameTurn::Bring,
            None => NameTurn::Make,
        };
    };
    if let Some(name) = &there.renamed_to {
        return NameTurn::Renamed(name.clone());
    }
    let changes: Vec<Changed> = there.fixed.changes(now).collect();
    match begun {
        _ if !changes.is_empty() => NameTurn::Fixed(changes),
        Some((id, _)) if id == there.id => NameTurn::Use(id),
        Some(_) => NameTurn::OwnHistory,
        None => NameTurn::Adopt(there.id),
    }
}

#[cfg(test)]
mod tests {
    use super::super::form::Claim;
    use super::*;
    use crate::import::shared_progress::Tag;

    const ID: ImportId = ImportId::of_bits(1);

    fn note(instance: &str, state: ClaimState) -> Note {
        let claim = Claim { state, ..Claim::open(ID, "in/a", instance, ("t", 5)) };
        Note::of_claim(&claim, &Tag("1".to_owned()))
    }

    #[test]
    fn each_claim_has_its_consequences() {
        use ClaimState::{Delivered, Open, Released};
        let theirs = |waits| Look::Theirs { instance: "b".to_owned(), waits };
        let leave = || Turn::Leave("b".to_owned());
        let lost = || Closing::Lost("b".to_owned());
        let check = |note: Option<Note>, expected: (Look, Turn, Closing), frees_b: bool| {
            let note = note.as_ref();
            // What this instance would do with the claim once the rows are delivered, it does after a restart, too.
            let is_unclosed = note.is_some_and(|note| unclosed(note, "a").is_some());
            let own = note.and_then(|note| match &note.found {
                Found::Claim(owned) | Found::Missing(owned) => Some(owned.instance == "a"),
                Found::Damaged(_) => None,
            });
            let closes = matches!(expected.2, Closing::Create | Closing::Replace);
            assert_eq!(is_unclosed, own == Some(true) && closes, "{note:?}");
            let found = (look(note, "a"), turn(note, "a", ("t", 5), false), closing(note, "a"));
            assert_eq!(found, expected, "{note:?}");
            assert_eq!(note.is_some_and(|note| frees(note, "b")), frees_b, "{note:?}");
        };
        check(None, (Look::Free, Turn::Create, Closing::Create), false);
        check(Some(note("a", Open)), (Look::Ours, Turn::Begin, Closing::Replace), false);
        check(Some(note("a", Delivered)), (Look::Ours, Turn::Begin, Closing::Nothing), false);
        check(Some(note("a", Released)), (Look::Free, Turn::Replace, Closing::Replace), false);
        check(Some(note("b", Open)), (theirs(true), leave(), lost()), true);
        check(Some(note("b", Delivered)), (theirs(false), leave(), lost()), false);
        check(Some(note("b", Released)), (Look::Free, Turn::Replace, Closing::Replace), false);
        check(Some(note("a", Open).missing()), (Look::Free, Turn::Create, Closing::Create), false);
        let gone = || "it is gone, and belonged to the instance b".to_owned();
        let expected = (Look::Unknown(gone()), Turn::Wait(gone()), Closing::Wait(gone()));
        check(Some(note("b", Open).missing()), expected, true);
        let bad = || "cut".to_owned();
        let damaged = Note { found: Found::Damaged(bad()), ..note("b", Open) };
        check(Some(damaged), (Look::Unknown(bad()), Turn::Wait(bad()), Closing::Wait(bad())), false);
    }

    #[test]
    fn a_delivered_file_that_begins_again_is_claimed_openly_first() {
        let check = |state, version, again, expected| {
            assert_eq!(turn(Some(&note("a", state)), "a", version, again), expected, "{state:?} {version:?}");
        };
        check(ClaimState::Delivered, ("t", 5), true, Turn::Replace);
        check(ClaimState::Delivered, ("u", 5), false, Turn::Replace);
        check(ClaimState::Delivered, ("t", 6), false, Turn::Replace);
        check(ClaimState::Open, ("u", 6), true, Turn::Begin);
    }

    #[test]
    fn a_name_is_used_made_or_refused() {
        let of = |text: &str| text.to_owned();
        let now = FixedSettings {
            bucket: of("lake"),
            prefix: of("in/"),
            endpoint: String::new(),
            role: String::new(),
            source: of("web"),
            data_type: of("event"),
            strategy: of("append_only"),
            journal: of("s3://j/"),
        };
        let local = FixedSettings { journal: String::new(), ..now.clone() };
        let other = FixedSettings { source: of("app"), ..now.clone() };
        let here = |bits, fixed: Option<&FixedSettings>| {
            Some(NamedImport { fixed: fixed.cloned(), ..NamedImport::of_id(ImportId::of_bits(bits)) })
        };
        let there = |fixed: &FixedSettings| Some(SharedName::new("orders", ID, fixed.clone(), "b"));
        let check = |here: Option<NamedImport>, there: Option<SharedName>, expected: NameTurn| {
            assert_eq!(name_turn(here.as_ref(), there.as_ref(), &now), expected, "{here:?} {there:?}");
        };
        check(None, None, NameTurn::Make);
        check(here(2, None), None, NameTurn::Make);
        check(here(2, Some(&local)), None, NameTurn::Bring);
        check(here(2, Some(&now)), None, NameTurn::Gone);
        check(None, there(&now), NameTurn::Adopt(ID));
        check(here(2, None), there(&now), NameTurn::Adopt(ID));
        check(here(1, Some(&now)), there(&now), NameTurn::Use(ID));
        // It was stopped after it had made the name.
        check(here(1, Some(&local)), there(&now), NameTurn::Use(ID));
        check(here(2, Some(&local)), there(&now), NameTurn::OwnHistory);
        let changed = other.changes(&now).collect();
        check(None, there(&other), NameTurn::Fixed(changed));
        let renamed = there(&now).map(|name| SharedName { renamed_to: Some(of("sales")), ..name });
        check(here(1, Some(&now)), renamed, NameTurn::Renamed(of("sales")));
    }
}
