use proptest::prelude::*;

use super::*;
use crate::warning::WarningCode;

const A: ConnectionId = ConnectionId(1);
const B: ConnectionId = ConnectionId(2);

fn key(number: u8) -> TakeKey {
    TakeKey([number; 32])
}

fn node(name: &str) -> Holder {
    Holder::Generate { node: name.to_owned() }
}

fn progress(step: u32) -> Progress {
    Progress { stage: "sampling".to_owned(), step, of: 4, seconds_left: None }
}

fn table() -> JobTable<()> {
    JobTable::default()
}

fn keys(table: &JobTable<()>) -> Vec<TakeKey> {
    table.jobs().iter().map(Job::key).collect()
}

#[test]
fn jobs_run_one_at_a_time_in_the_order_of_their_coming() {
    let mut jobs = table();
    for number in 0..3 {
        let (submitted, _) = jobs.submit(A, key(number), Holder::Render, ());
        assert_eq!(submitted, Submitted::Accepted { ahead: u32::from(number) });
    }
    for number in 0..3 {
        assert_eq!(jobs.start_next().map(Job::key), Some(key(number)));
        assert!(jobs.start_next().is_none());
        assert_eq!(jobs.advance(key(number), &progress(1)), BTreeSet::from([A]));
        assert_eq!(jobs.finish(key(number)), BTreeSet::from([A]));
    }
    assert!(jobs.is_idle());
}

#[test]
fn a_warning_is_heard_once_and_goes_with_the_job() {
    let mut jobs = table();
    let warning = Warning::new(WarningCode::FewSteps, "few steps", "use more");
    jobs.submit(A, key(1), node("n"), ());
    assert!(jobs.warn(key(1), &warning).is_empty(), "it is not being made yet");
    jobs.start_next();
    assert_eq!(jobs.warn(key(1), &warning), BTreeSet::from([A]));
    assert!(jobs.warn(key(1), &warning).is_empty());
    assert_eq!(jobs.jobs()[0].warnings(), std::slice::from_ref(&warning));
    // Made anew, it is warned of anew.
    jobs.stopped(key(1));
    jobs.start_next();
    assert_eq!(jobs.warn(key(1), &warning), BTreeSet::from([A]));
}

#[test]
fn equal_keys_share_a_job_and_all_its_holders_hear_of_it() {
    let mut jobs = table();
    jobs.submit(A, key(1), node("n"), ());
    assert_eq!(jobs.submit(B, key(1), Holder::Render, ()).0, Submitted::Attached { ahead: 0 });
    jobs.start_next();
    assert_eq!(jobs.advance(key(1), &progress(1)), BTreeSet::from([A, B]));
    assert!(jobs.cancel(A, key(1), &node("n")));
    assert!(jobs.is_wanted(key(1)));
    assert_eq!(jobs.finish(key(1)), BTreeSet::from([B]));
}

#[test]
fn a_node_of_a_later_session_gives_up_what_the_earlier_one_wanted() {
    let mut jobs = table();
    jobs.submit(A, key(1), node("gone"), ());
    jobs.submit(B, key(1), node("there"), ());
    assert!(!jobs.cancel(B, key(1), &node("later")));
    jobs.disconnect(A);
    assert!(jobs.cancel(B, key(1), &node("later")));
    assert_eq!(jobs.jobs()[0].holders(), 1);
    assert!(jobs.cancel(B, key(1), &node("there")));
    assert!(jobs.is_idle());
}

#[test]
fn the_same_holder_again_is_one_holder() {
    let mut jobs = table();
    for connection in [A, A, B] {
        jobs.submit(connection, key(1), node("n"), ());
    }
    assert_eq!(jobs.jobs()[0].holders(), 1);
    assert_eq!(jobs.jobs()[0].watchers(), BTreeSet::from([B]));
    jobs.submit(A, key(1), Holder::Render, ());
    jobs.submit(B, key(1), Holder::Render, ());
    assert_eq!(jobs.jobs()[0].holders(), 3);
}

#[test]
fn a_generate_outlives_its_connection_and_a_render_does_not() {
    let mut jobs = table();
    jobs.submit(A, key(1), node("n"), ());
    jobs.submit(A, key(2), Holder::Render, ());
    jobs.disconnect(A);
    assert_eq!(keys(&jobs), [key(1)]);
    assert!(jobs.jobs()[0].watchers().is_empty());
    jobs.start_next();
    assert!(jobs.is_wanted(key(1)));
    // Whoever is connected may cancel it, for instance the host after a crash.
    assert!(jobs.cancel(B, key(1), &node("n")));
    assert!(!jobs.is_wanted(key(1)));
}

#[test]
fn a_job_may_take_hours_while_somebody_patient_wants_it() {
    let mut jobs = table();
    jobs.submit(A, key(1), Holder::Render, ());
    jobs.submit(A, key(1), Holder::PatientRender, ());
    jobs.submit(B, key(1), node("n"), ());
    assert!(!jobs.may_take_hours(key(1)), "it does not run yet");
    jobs.start_next();
    assert!(jobs.may_take_hours(key(1)));
    jobs.cancel(B, key(1), &node("n"));
    assert!(jobs.may_take_hours(key(1)));
    jobs.cancel(A, key(1), &Holder::PatientRender);
    assert!(!jobs.may_take_hours(key(1)) && jobs.is_wanted(key(1)));
    jobs.submit(B, key(1), Holder::PatientRender, ());
    assert!(jobs.may_take_hours(key(1)));
    jobs.disconnect(B);
    assert!(!jobs.may_take_hours(key(1)) && jobs.is_wanted(key(1)));
}

#[test]
fn a_render_cancels_only_for_its_own_connection() {
    let mut jobs = table();
    jobs.submit(A, key(1), Holder::Render, ());
    assert!(!jobs.cancel(B, key(1), &Holder::Render));
    assert!(!jobs.cancel(A, key(2), &Holder::Render));
    assert!(jobs.cancel(A, key(1), &Holder::Render));
    assert!(jobs.is_idle());
}

#[test]
fn a_node_holds_only_its_newest_take() {
    let mut jobs = table();
    jobs.submit(A, key(1), node("n"), ());
    jobs.submit(A, key(2), node("other"), ());
    let (submitted, dropped) = jobs.submit(A, key(3), node("n"), ());
    assert_eq!((submitted, dropped), (Submitted::Accepted { ahead: 1 }, vec![]));
    assert_eq!(keys(&jobs), [key(2), key(3)]);
    // The same project, open twice.
    let (_, dropped) = jobs.submit(B, key(4), node("n"), ());
    assert_eq!(dropped, [(A, key(3))]);
    assert_eq!(keys(&jobs), [key(2), key(4)]);
}

#[test]
fn an_unwanted_running_job_stays_until_it_has_stopped() {
    let mut jobs = table();
    jobs.submit(A, key(1), Holder::Render, ());
    jobs.submit(B, key(2), Holder::Render, ());
    jobs.start_next();
    jobs.disconnect(A);
    assert!(!jobs.is_wanted(key(1)));
    assert!(jobs.start_next().is_none());
    jobs.stopped(key(1));
    assert_eq!(jobs.start_next().map(Job::key), Some(key(2)));
}

#[test]
fn a_stopped_job_that_is_wanted_again_is_the_next() {
    let mut jobs = table();
    jobs.submit(A, key(1), Holder::Render, ());
    jobs.submit(B, key(2), Holder::Render, ());
    jobs.start_next();
    jobs.disconnect(A);
    assert_eq!(jobs.submit(B, key(1), Holder::Render, ()).0, Submitted::Attached { ahead: 0 });
    jobs.stopped(key(1));
    assert!(jobs.jobs()[0].progress().is_none());
    assert_eq!(jobs.start_next().map(Job::key), Some(key(1)));
}

#[test]
fn stopping_all_tells_everybody_and_leaves_the_running_job_to_end() {
    let mut jobs = table();
    jobs.submit(A, key(1), node("n"), ());
    jobs.submit(B, key(1), Holder::Render, ());
    jobs.submit(B, key(2), Holder::Render, ());
    jobs.start_next();
    assert_eq!(jobs.stop_all(), [(A, key(1)), (B, key(1)), (B, key(2))]);
    assert_eq!(keys(&jobs), [key(1)]);
    jobs.stopped(key(1));
    assert!(jobs.is_idle());
}

#[test]
fn what_does_not_run_neither_advances_nor_finishes() {
    let mut jobs = table();
    jobs.submit(A, key(1), Holder::Render, ());
    assert!(jobs.advance(key(1), &progress(1)).is_empty());
    assert!(jobs.finish(key(1)).is_empty());
    jobs.stopped(key(1));
    assert!(!jobs.is_wanted(key(1)));
    assert_eq!(keys(&jobs), [key(1)]);
}

#[derive(Clone, Debug)]
enum Step {
    Submit(u64, u8, Option<u8>),
    Cancel(u64, u8, Option<u8>),
    Disconnect(u64),
    Start,
    Finish(u8),
    Stopped(u8),
    StopAll,
}

fn step() -> impl Strategy<Value = Step> {
    let holder = || (0..3_u64, 0..4_u8, proptest::option::of(0..3_u8));
    prop_oneof![
        4 => holder().prop_map(|(c, k, n)| Step::Submit(c, k, n)),
        2 => holder().prop_map(|(c, k, n)| Step::Cancel(c, k, n)),
        1 => (0..3_u64).prop_map(Step::Disconnect),
        2 => Just(Step::Start),
        1 => (0..4_u8).prop_map(Step::Finish),
        1 => (0..4_u8).prop_map(Step::Stopped),
        1 => Just(Step::StopAll),
    ]
}

proptest! {
    #[test]
    fn the_invariants_hold_after_any_steps(steps in proptest::collection::vec(step(), 0..60)) {
        let mut jobs = table();
        let holder = |name: Option<u8>| match name {
            None => Holder::Render,
            Some(2) => Holder::PatientRender,
            Some(name) => node(&name.to_string()),
        };
        for step in steps {
            match step {
                Step::Submit(c, k, n) => { jobs.submit(ConnectionId(c), key(k), holder(n), ()); }
                Step::Cancel(c, k, n) => { jobs.cancel(ConnectionId(c), key(k), &holder(n)); }
                Step::Disconnect(c) => {
                    jobs.disconnect(ConnectionId(c));
                    let changed = jobs.jobs().iter().any(|job| job.watchers().contains(&ConnectionId(c)));
                    prop_assert!(!changed);
                }
                Step::Start => { jobs.start_next(); }
                Step::Finish(k) => { jobs.finish(key(k)); }
                Step::Stopped(k) => jobs.stopped(key(k)),
                Step::StopAll => { jobs.stop_all(); }
            }
            let mut seen = BTreeSet::new();
            let mut nodes = BTreeSet::new();
            for (place, job) in jobs.jobs().iter().enumerate() {
                prop_assert!(seen.insert(job.key()), "two jobs with one key");
                prop_assert!(job.running || !job.holders.is_empty(), "a job that nobody wants");
                prop_assert!(!job.running || place == 0, "another than the first runs");
                for held in &job.holders {
                    match &held.holder {
                        Holder::Render | Holder::PatientRender => {
                            prop_assert!(held.connection.is_some());
                        }
                        Holder::Generate { node } => {
                            prop_assert!(nodes.insert(node.clone()), "a node holds two takes");
                        }
                    }
                }
            }
        }
    }
}
