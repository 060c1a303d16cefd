//! Members that come and go.

use std::num::NonZeroU16;
use std::thread;
use std::time::Duration;

use dlm_runtime::Lockspace;
use dlm_runtime::sync::{Change, Error, Member, Presence, Watch};
use dlm_tests::{PATIENCE, Place, WAYS, Way};

use super::Two;

dlm_tests::everywhere! {
    members_are_seen_to_come_leave_and_die,
    places_are_limited_and_so_are_names,
    a_watch_that_is_given_up_misses_nothing,
}

fn presence(space: &Lockspace, places: u16) -> Presence {
    Presence::open(space, "p", NonZeroU16::new(places).unwrap()).wait().unwrap()
}

fn names(way: Way, presence: &Presence) -> Vec<String> {
    let members = way.of(presence.members()).unwrap();
    members.iter().map(|member| member.name().to_owned()).collect()
}

fn next(way: Way, watch: &mut Watch) -> Change {
    way.of(watch.next_change().timeout(PATIENCE)).unwrap()
}

fn joined(way: Way, watch: &mut Watch, name: &str) -> Member {
    match next(way, watch) {
        Change::Joined(member) => {
            assert_eq!(member.name(), name);
            member
        }
        other => panic!("{other:?}"),
    }
}

fn nothing(way: Way, watch: &mut Watch) {
    let silent = way.of(watch.next_change().timeout(Duration::from_millis(1))).unwrap_err();
    assert!(silent.is_timed_out(), "{silent}");
}

fn members_are_seen_to_come_leave_and_die(place: &Place) {
    let spaces = Two::new(place, "sync-presence");
    let (one, two) = (presence(&spaces.one, 5), presence(&spaces.two, 5));
    for way in WAYS {
        let anna = way.of(one.join("anna")).unwrap();
        let mut watches = [&one, &two].map(|presence| way.of(presence.watch()).unwrap());
        for watch in &mut watches {
            assert_eq!(&joined(way, watch, "anna"), anna.member());
            nothing(way, watch);
        }
        let third = place.open("sync-presence").unwrap();
        let (ben, carl) = thread::scope(|scope| {
            let watching: Vec<_> = watches
                .iter_mut()
                .map(|watch| {
                    scope.spawn(|| {
                        (joined(way, watch, "ben"), joined(way, watch, "a name of 20 bytes.."))
                    })
                })
                .collect();
            let ben = way.of(two.join("ben")).unwrap();
            let carl = presence(&third, 5).join("a name of 20 bytes..").wait();
            let carl = carl.unwrap();
            for watching in watching {
                let seen = watching.join().unwrap();
                assert_eq!((&seen.0, &seen.1), (ben.member(), carl.member()));
            }
            (ben, carl)
        });
        assert!(anna.is_valid() && carl.is_valid());
        assert_eq!(names(way, &one), ["anna", "ben", "a name of 20 bytes.."]);
        let member = ben.member().clone();
        way.of(ben.leave()).unwrap();
        for watch in &mut watches {
            assert_eq!(next(way, watch), Change::Left(member.clone()));
        }
        // Its program dies.
        let member = carl.member().clone();
        third.close().unwrap();
        assert!(!carl.is_valid());
        for watch in &mut watches {
            assert_eq!(next(way, watch), Change::Died(member.clone()));
        }
        assert_eq!(names(way, &two), ["anna"]);
        // One of the same name is another one.
        let again = way.of(two.join("ben")).unwrap();
        for watch in &mut watches {
            assert_eq!(&joined(way, watch, "ben"), again.member());
        }
        let members = [anna.member().clone(), again.member().clone()];
        way.of(anna.leave()).unwrap();
        drop(again);
        for watch in &mut watches {
            let mut gone = [next(way, watch), next(way, watch)];
            gone.sort_by_key(|change| matches!(change, Change::Died(_)));
            assert_eq!(gone, [Change::Left(members[0].clone()), Change::Died(members[1].clone())]);
            nothing(way, watch);
        }
        assert!(names(way, &one).is_empty());
        drop(carl);
    }
    drop((one, two));
    spaces.end();
}

fn places_are_limited_and_so_are_names(place: &Place) {
    let spaces = Two::new(place, "sync-places");
    let (one, two) = (presence(&spaces.one, 2), presence(&spaces.two, 2));
    for way in WAYS {
        let error = way.of(one.join("a name of 21 bytes...")).unwrap_err();
        assert!(matches!(error, Error::NameTooLong), "{error}");
        let first = way.of(one.join("same")).unwrap();
        let second = way.of(two.join("same")).unwrap();
        assert_ne!(first.member(), second.member());
        assert_eq!([first.member().place(), second.member().place()], [0, 1]);
        assert!(matches!(way.of(one.join("third")), Err(Error::Full)));
        way.of(first.leave()).unwrap();
        let third = way.of(two.join("third")).unwrap();
        assert_eq!(third.member().place(), 0);
        way.of(second.leave()).unwrap();
        way.of(third.leave()).unwrap();
    }
    drop((one, two));
    spaces.end();
}

fn a_watch_that_is_given_up_misses_nothing(place: &Place) {
    use std::future::{Future, IntoFuture};
    use std::pin::pin;
    use std::task::{Context, Waker};
    let spaces = Two::new(place, "sync-watch");
    let (one, two) = (presence(&spaces.one, 3), presence(&spaces.two, 3));
    let mut watch = one.watch().wait().unwrap();
    let give_up = |watch: &mut Watch| {
        let future = pin!(watch.next_change().into_future());
        future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    };
    assert!(give_up(&mut watch));
    let member = two.join("anna").wait().unwrap();
    joined(Way::Task, &mut watch, "anna");
    assert!(give_up(&mut watch));
    assert!(give_up(&mut watch));
    let gone = member.member().clone();
    member.leave().wait().unwrap();
    // The task that asked before was told, and is gone: now a thread asks.
    assert_eq!(next(Way::Thread, &mut watch), Change::Left(gone));
    let member = two.join("ben").wait().unwrap();
    joined(Way::Thread, &mut watch, "ben");
    nothing(Way::Thread, &mut watch);
    let gone = member.member().clone();
    drop(member);
    assert_eq!(next(Way::Task, &mut watch), Change::Died(gone));
    drop((one, two, watch));
    spaces.end();
}
