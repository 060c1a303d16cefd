//! Plain locks: what leaves them plain, so that their next operation is one, too.

use dlm_proto::MAX_RESULT_LEN;

use super::*;

impl Rig {
    /// A plain lock that is being requested, and accepted with this id.
    fn plain(&mut self, id: u32) -> Token {
        let owner = self.owner();
        let name = name("disk0");
        let (token, _) = self
            .call(|core, _| core.lock_plain(&name, Mode::Ex, NONE, || owner, |_| {}))
            .expect("it is plain");
        assert!(self.call(|core, _| core.accepted_plain(token, 0, Some(LockId(id)))));
        token
    }

    /// The plain end of its operation. Returns for whom that is.
    fn plain_end(&mut self, token: Token, status: LockStatus) -> Option<Owner> {
        let mut buffer = [0; MAX_RESULT_LEN];
        let result = self.completion(token, status);
        let bytes = result.encode(Abi::V6_64, &mut buffer).unwrap();
        self.call(|core, _| core.receive_plain(None, bytes).map(|end| end.user.take()))
            .expect("it is plain")
    }
}

#[test]
fn a_plain_lock_whose_thread_looks_and_sleeps_stays_plain() {
    Rig::each(|mut rig| {
        let token = rig.plain(5);
        // Its thread looks whether somebody has read the end, and then says how it is woken.
        assert!(rig.core.take_outcome(token, 0).is_none());
        let waker = Some(Owner(77));
        let before = rig.core.user_mut(token, 0).map(|user| std::mem::replace(user, Owner(77)));
        assert_eq!(before, Some(Owner(1)));
        assert!(rig.core.user_mut(token, 1).is_none());
        assert_eq!(rig.plain_end(token, LockStatus::Granted), waker);
        // The unlock is plain, too, and waits in the same way.
        let owner = rig.owner();
        let unlock = rig.call(|core, _| core.unlock_plain(token, || owner, |_| {})).unwrap();
        assert_eq!((unlock.id, unlock.serial), (LockId(5), 1));
        assert!(rig.call(|core, _| core.accepted_plain(token, 1, None)));
        assert!(rig.core.take_outcome(token, 1).is_none());
        assert_eq!(rig.core.user_mut(token, 1).map(|user| user.0), Some(2));
        assert_eq!(rig.plain_end(token, LockStatus::Unlocked), Some(Owner(2)));
        rig.call(|core, _| core.remove_plain(token));
        rig.assert_empty();
    });
}
