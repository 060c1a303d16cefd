//! The book of debts: owners of operations that are still to be told.

use std::collections::BTreeSet;
use std::collections::HashSet;

use dlm_proto::Token;

use crate::kept::{Face, Owner};

/// The owners and faces that are in the core, and the locks that no core can be right about.
#[derive(Debug, Default)]
pub(crate) struct Book {
    made: u32,
    owners: BTreeSet<u32>,
    faces: BTreeSet<u32>,
    tainted: HashSet<Token>,
}

impl Book {
    fn next(&mut self) -> u32 {
        self.made += 1;
        self.made
    }

    pub(crate) fn owner(&mut self) -> Option<Owner> {
        Some(Owner(self.next()))
    }

    pub(crate) fn face(&mut self) -> Face {
        Face(Some(self.next()))
    }

    /// The core has taken what it was given, or left it.
    pub(crate) fn took(&mut self, number: Option<u32>, owner: &Option<Owner>, is_accepted: bool) {
        assert_eq!(owner.is_none(), is_accepted, "an owner is taken if the call is accepted");
        if is_accepted {
            self.owners.extend(number);
        }
    }

    pub(crate) fn took_face(&mut self, number: Option<u32>, face: &Face, is_accepted: bool) {
        assert_eq!(face.0.is_none(), is_accepted, "a face is taken if the call is accepted");
        if is_accepted {
            self.faces.extend(number);
        }
    }

    /// Somebody is told of the end of his operation.
    pub(crate) fn told(&mut self, owners: impl IntoIterator<Item = Owner>) {
        for owner in owners {
            assert!(self.owners.remove(&owner.0), "{owner:?} was told before");
        }
    }

    pub(crate) fn dropped(&mut self, face: &Face) {
        if let Some(number) = face.0 {
            assert!(self.faces.remove(&number), "{face:?} was handed out before");
        }
    }

    /// No core can be right about this lock any more.
    pub(crate) fn taint(&mut self, token: Token) {
        self.tainted.insert(token);
    }

    pub(crate) fn is_tainted(&self, token: Token) -> bool {
        self.tainted.contains(&token)
    }

    pub(crate) fn has_tainted(&self) -> bool {
        !self.tainted.is_empty()
    }

    /// Whether this owner was not told.
    pub(crate) fn owes(&self, owner: u32) -> bool {
        self.owners.contains(&owner)
    }

    /// How many owners were not told.
    pub(crate) fn owed(&self) -> usize {
        self.owners.len()
    }

    /// How many faces were not handed out.
    pub(crate) fn kept(&self) -> usize {
        self.faces.len()
    }
}
