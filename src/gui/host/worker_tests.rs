use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::gui::host::{LookOrder, Seen};
use crate::gui::testing::{open_photo, small_net};

/// One request of every kind that something waits for, and what it fails as.
fn awaited() -> Vec<(Request, Failed)> {
    let photo = Seen::Photo(open_photo("photo.png"));
    let look = LookOrder {
        number: 1,
        graph: small_net(),
        layer: "block1/relu".into(),
        picture: photo,
        at: None,
        with_maps: false,
    };
    vec![
        (Request::OpenPhoto("a.png".into()), Failed::OpenPhoto("a.png".into())),
        (Request::OpenNet { key: "net".into(), options: Box::default() }, Failed::OpenNet("net".into())),
        (Request::Export { exposures: Vec::new(), path: PathBuf::new(), frame_ms: 80 }, Failed::Export),
        (Request::KeepSession { number: 7, session: Box::default(), frame: None }, Failed::KeepSession),
        (Request::ListPresets, Failed::Other),
        (Request::Look(Box::new(look)), Failed::Look),
    ]
}

#[test]
fn a_panic_fails_the_request_that_it_came_of_and_the_desk_goes_on() {
    let (outlet, received) = Outlet::for_tests();
    let desk = Desk::open("panicking", &outlet, |_, _| panic!("planted")).expect("there are threads");
    for (request, expected) in awaited() {
        desk.hand(request);
        let event = received.recv_timeout(Duration::from_secs(60)).expect("the failure is told");
        let Event::Failed { what, sentence } = event else { panic!("{event:?}") };
        assert_eq!(what, expected);
        assert!(sentence.contains("planted"), "{sentence}");
    }
}
