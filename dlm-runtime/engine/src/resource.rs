//! Resources, and the table that finds them by name.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

use dlm_proto::{MAX_NAME_LEN, ResourceName, ValueBlock};

use crate::chain::List;
use crate::config::Profile;
use crate::count::{ModeCounts, NoticeCounts};

/// No resource.
const NONE: u32 = u32::MAX;

/// The recovery of a resource, before its lockspace goes on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Recovery {
    /// This node has become its master.
    pub(crate) new_master: bool,
    /// A lock that was gone with its node could have written the value block.
    pub(crate) lvb_lost: bool,
    /// Others may be granted now.
    pub(crate) grants: bool,
    /// The granted mode of a conversion between PR and CW is not known.
    pub(crate) conversions: bool,
}

/// A resource, which locks compete for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resource {
    /// The name that it was made with.
    pub(crate) name: ResourceName,
    pub(crate) hash: u64,
    /// The next one in its bucket.
    pub(crate) next: u32,
    /// Locks that belong to it, in a queue or not. Without any it is forgotten.
    pub(crate) attached: u32,
    pub(crate) granted: List,
    pub(crate) converting: List,
    pub(crate) waiting: List,
    /// Modes held by granted and by converting locks.
    pub(crate) held: ModeCounts,
    pub(crate) held_by_converting: ModeCounts,
    pub(crate) noticed: NoticeCounts,
    /// Modes asked for by converting and by waiting locks.
    pub(crate) conversions: ModeCounts,
    pub(crate) requests: ModeCounts,
    pub(crate) unusual_conversions: u32,
    pub(crate) unusual_requests: u32,
    /// The node that grants its locks; 0 for this one.
    pub(crate) master: u32,
    pub(crate) lvb: Option<ValueBlock>,
    /// The age of the value block: a higher number is newer.
    pub(crate) lvb_seq: u32,
    pub(crate) recovery: Recovery,
    /// The value block is marked as not valid.
    pub(crate) lvb_invalid: bool,
}

/// All resources of a lockspace on a node.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    table: Vec<Resource>,
    free: Vec<u32>,
    buckets: Vec<u32>,
    /// Resources without locks whose value block was invalid: the mark outlives them for a while.
    marked: Vec<ResourceName>,
}

/// Resources without locks that are remembered.
const MAX_MARKED: usize = 1024;

/// The bytes that a resource is found by.
fn key(profile: Profile, name: &[u8]) -> &[u8] {
    match profile {
        Profile::Linux6_1 => name,
        Profile::Linux6_12 => {
            let len = name.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            name.get(..len).unwrap_or(name)
        }
    }
}

fn hash(key: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64, word: u64| {
        let product = u128::from(state ^ word) * u128::from(FACTOR);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
        let (low, high) = (product as u64, (product >> 64) as u64);
        low ^ high
    };
    let mut state = FACTOR ^ key.len() as u64;
    let mut chunks = key.chunks_exact(8);
    for chunk in &mut chunks {
        state = mix(state, chunk.try_into().map_or(0, u64::from_le_bytes));
    }
    let tail = chunks.remainder().iter().fold(1, |word, &byte| word << 8 | u64::from(byte));
    mix(mix(state, tail), FACTOR)
}

impl Resources {
    /// The resource of this name, made if there is none; or `None` for a name above 64 bytes.
    pub(crate) fn find_or_create(&mut self, profile: Profile, name: &[u8]) -> Option<u32> {
        let key = key(profile, name);
        let hash = hash(key);
        if let Some(found) = self.find_hashed(profile, key, hash) {
            return Some(found);
        }
        let name = ResourceName::new(name).ok()?;
        let lvb_invalid = !self.marked.is_empty() && self.take_mark(profile, key);
        self.grow();
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                let place = u32::try_from(self.table.len()).ok().filter(|&place| place < NONE)?;
                self.table.push(Resource::default());
                place
            }
        };
        let bucket = self.bucket(hash)?;
        let next = core::mem::replace(bucket, place);
        self[place] = Resource { name, hash, next, lvb_invalid, ..Resource::default() };
        Some(place)
    }

    /// The resource of this name, if there is one.
    pub(crate) fn find(&self, profile: Profile, name: &[u8]) -> Option<u32> {
        let key = key(profile, name);
        self.find_hashed(profile, key, hash(key))
    }

    fn find_hashed(&self, profile: Profile, key: &[u8], hash: u64) -> Option<u32> {
        let mask = self.buckets.len().checked_sub(1)? as u64;
        let mut place = *self.buckets.get(usize::try_from(hash & mask).ok()?)?;
        while place != NONE {
            let resource = &self[place];
            if resource.hash == hash && self::key(profile, &resource.name) == key {
                return Some(place);
            }
            place = resource.next;
        }
        None
    }

    fn bucket(&mut self, hash: u64) -> Option<&mut u32> {
        let mask = self.buckets.len().checked_sub(1)? as u64;
        self.buckets.get_mut(usize::try_from(hash & mask).ok()?)
    }

    /// Makes sure that there are more buckets than resources.
    fn grow(&mut self) {
        if self.len() < self.buckets.len() {
            return;
        }
        let wanted = (self.buckets.len() * 2).max(16);
        self.buckets.clear();
        self.buckets.resize(wanted, NONE);
        for place in 0..self.table.len() {
            let Ok(place) = u32::try_from(place) else { continue };
            if self[place].attached == 0 {
                continue;
            }
            let hash = self[place].hash;
            if let Some(bucket) = self.bucket(hash) {
                self[place].next = core::mem::replace(bucket, place);
            }
        }
    }

    /// Forgets a resource that has no lock.
    pub(crate) fn forget(&mut self, profile: Profile, place: u32) {
        let Resource { hash, next, name, lvb_invalid, .. } = self[place];
        if lvb_invalid {
            self.mark(profile, name);
        }
        let Some(bucket) = self.bucket(hash) else { return };
        if *bucket == place {
            *bucket = next;
        } else {
            let mut at = *bucket;
            while at != NONE && self[at].next != place {
                at = self[at].next;
            }
            if at != NONE {
                self[at].next = next;
            }
        }
        self.free.push(place);
        if self.len() == 0 && self.table.len() > 64 {
            *self = Self { marked: core::mem::take(&mut self.marked), ..Self::default() };
        }
    }

    fn mark(&mut self, profile: Profile, name: ResourceName) {
        let _was_marked = self.take_mark(profile, key(profile, &name));
        if self.marked.len() == MAX_MARKED {
            self.marked.remove(0);
        }
        self.marked.push(name);
    }

    fn take_mark(&mut self, profile: Profile, wanted: &[u8]) -> bool {
        let found = self.marked.iter().position(|name| key(profile, name) == wanted);
        found.map(|at| self.marked.remove(at)).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Resource)> {
        (0..).zip(&self.table).filter(|(_, resource)| resource.attached != 0)
    }
}

impl Index<u32> for Resources {
    type Output = Resource;

    #[expect(clippy::indexing_slicing, reason = "the place of a resource that has locks")]
    #[inline]
    fn index(&self, place: u32) -> &Resource {
        &self.table[place as usize]
    }
}

impl IndexMut<u32> for Resources {
    #[expect(clippy::indexing_slicing, reason = "the place of a resource that has locks")]
    #[inline]
    fn index_mut(&mut self, place: u32) -> &mut Resource {
        &mut self.table[place as usize]
    }
}

const _: () = assert!(MAX_NAME_LEN == 64);

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn resources_are_found_again_until_they_are_forgotten() {
        let mut resources = Resources::default();
        let profile = Profile::Linux6_1;
        let names: Vec<_> = (0..200).map(|i| format!("resource {i}")).collect();
        let mut places = Vec::new();
        for name in &names {
            let place = resources.find_or_create(profile, name.as_bytes()).unwrap();
            resources[place].attached = 1;
            places.push(place);
        }
        for (name, &place) in names.iter().zip(&places) {
            assert_eq!(resources.find_or_create(profile, name.as_bytes()), Some(place));
        }
        for &place in places.iter().step_by(2) {
            resources[place].attached = 0;
            resources.forget(profile, place);
        }
        assert_eq!((resources.len(), resources.iter().count()), (100, 100));
        for (name, &place) in names.iter().zip(&places).skip(1).step_by(2) {
            assert_eq!(resources.find_or_create(profile, name.as_bytes()), Some(place));
        }
        assert_eq!(resources.find_or_create(profile, &[0; 65]), None);
    }

    #[test]
    fn trailing_nuls_count_on_6_1_only() {
        for (profile, same) in [(Profile::Linux6_1, false), (Profile::Linux6_12, true)] {
            let mut resources = Resources::default();
            let a = resources.find_or_create(profile, b"a").unwrap();
            resources[a].attached = 1;
            let b = resources.find_or_create(profile, b"a\0\0").unwrap();
            assert_eq!(a == b, same);
            resources[b].attached = 1;
            assert_ne!(resources.find_or_create(profile, b"\0a"), Some(a));
        }
    }

    #[test]
    fn the_mark_of_an_invalid_block_outlives_the_resource_once() {
        let mut resources = Resources::default();
        let profile = Profile::Linux6_1;
        let place = resources.find_or_create(profile, b"a").unwrap();
        resources[place].lvb_invalid = true;
        resources.forget(profile, place);
        let place = resources.find_or_create(profile, b"a").unwrap();
        assert!(resources[place].lvb_invalid);
        resources[place].lvb_invalid = false;
        resources.forget(profile, place);
        let place = resources.find_or_create(profile, b"a").unwrap();
        assert!(!resources[place].lvb_invalid);
    }
}
