//! Handles: clones of a lockspace, what a lock tells of itself, notices that own their lock, and calls
//! on lockspaces that are refused by a plan.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use dlm_runtime::backend::{Call, Command, Errno, Faulty, RequestFault, on_calls};
use dlm_runtime::{BlockingNotices, ErrorKind, Lockspace, Mode};
use dlm_tests::{PATIENCE, Place};

dlm_tests::everywhere! {
    clones_are_one_lockspace_and_release_it_once,
    a_lock_tells_its_resource_and_shows_its_id,
    notices_that_own_their_lock_outlive_its_scope,
    refused_creations_openings_and_removals_are_told,
}

fn clones_are_one_lockspace_and_release_it_once(place: &Place) {
    let one = place.create("ha-clone").unwrap();
    // A second reference, which a second release must leave alone.
    let other = place.create("ha-clone").unwrap();
    let two = one.clone();
    let lock = std::thread::scope(|scope| {
        scope.spawn(|| two.lock("r", Mode::Ex).wait().unwrap()).join().unwrap()
    });
    assert_eq!((one.lock_count(), two.lock_count()), (1, 1));
    one.release().unwrap();
    assert!(!two.is_open());
    assert_eq!(lock.mode(), None);
    assert!(two.release().unwrap_err().is_closed());
    other.lock("r", Mode::Ex).no_queue().wait().unwrap().unlock().wait().unwrap();
    other.release().unwrap();
    assert!(place.open("ha-clone").unwrap_err().is_no_lockspace());
}

fn a_lock_tells_its_resource_and_shows_its_id(place: &Place) {
    let ls = place.create("ha-names").unwrap();
    let lock = ls.lock(b"a\0b", Mode::Pr).wait().unwrap();
    assert_eq!(lock.resource().as_deref(), Some(&b"a\0b"[..]));
    let text = format!("{lock:?}");
    let id = lock.id().unwrap();
    assert!(text.contains(r#"lockspace: "ha-names", resource: "a\x00b""#), "{text}");
    assert!(text.contains(&format!("{id:?}")) && text.contains("Some(Pr)"), "{text}");
    ls.close().unwrap();
    assert_eq!((lock.mode(), lock.resource().as_deref()), (None, Some(&b"a\0b"[..])));
    ls.release().unwrap();
}

fn notices_that_own_their_lock_outlive_its_scope(place: &Place) {
    let (ls, other) = place.open_twice("ha-stream");
    let mut notices = {
        let lock = Arc::new(ls.lock("r", Mode::Ex).note_blocking().wait().unwrap());
        BlockingNotices::new(lock)
    };
    let waiting = other.lock("r", Mode::Pr).start(|_| ()).unwrap();
    let delivery = ls.start_delivery().unwrap();
    let told = dlm_tests::within(move || {
        let notice = dlm_tests::block_on(poll_fn(|cx| {
            futures_core::Stream::poll_next(pin!(&mut notices), cx)
        }));
        (notice.map(|notice| notice.mode), notices)
    });
    let (mode, notices) = told.expect("the notice comes");
    assert_eq!(mode, Some(Mode::Pr));
    assert!(
        pin!(poll_fn(|cx| futures_core::Stream::poll_next(pin!(notices.clone()), cx)))
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    drop(Arc::into_inner(notices.into_inner()));
    drop(waiting);
    delivery.stop(PATIENCE).unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn refused_creations_openings_and_removals_are_told(place: &Place) {
    let create = Call::Submit(Command::CreateLockspace);
    for (bad, errno) in [
        (create, Errno::ENOTCONN),
        (Call::OpenLockspace, Errno::EACCES),
        (Call::Submit(Command::RemoveLockspace), Errno::EBUSY),
    ] {
        let plan = on_calls(move |call| (call == bad).then_some(RequestFault::Fail(errno)));
        let faulty = Faulty::new(place.backend(), plan);
        let error = match Lockspace::create_on(faulty.clone(), "ha-refused") {
            Ok(lockspace) => lockspace.release().unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(error.kind, ErrorKind::Device(_)), "{error}");
        assert_eq!(error.raw_os_error(), Some(errno.raw()), "{error}");
        assert_eq!(error.is_not_configured(), bad == create, "{error}");
        faulty.set_active(false);
        // A removal that was refused has left its reference; the others leave none.
        let is_left = Lockspace::remove_on(faulty.clone(), "ha-refused").is_ok();
        assert_eq!(is_left, bad == Call::Submit(Command::RemoveLockspace), "{error}");
        assert_eq!(faulty.injected(), 1);
    }
}
