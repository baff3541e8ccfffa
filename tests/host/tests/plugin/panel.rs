//! Parameters, keys, edits, undo, messages and progress.

use wan_alpha_test_host::{Message, Profile, Progress, Reason, Status, Undo, Value};

use crate::Scene;

#[test]
fn values_are_kept_keyed_and_clamped() {
    let Scene { node, project, .. } = &Scene::new(Profile::plain());
    node.set("level", 7.0);
    assert_eq!(node.double("level"), 1.0, "clamped");
    node.set("count", -3);
    assert_eq!(node.int("count"), 0, "clamped");
    node.set("mischief", 1000);
    assert_eq!(node.int("mischief") as usize, wan_alpha_test_bad_plugin::MISCHIEFS.len() - 1);
    node.set("mischief", 0);
    node.set("colour", [0.1, 0.2, 0.3, 0.4]);
    node.set("flag", true);
    node.set("custom", "anything");
    assert_eq!((node.int("flag"), node.text("custom").as_str()), (1, "anything"));
    node.key("centre", 10.0, [1.0, 0.0]);
    node.key("centre", 0.0, [0.0, 1.0]);
    assert_eq!(node.value_at("centre", 2.5), [0.25, 0.75].into());
    assert_eq!(node.keys("centre").len(), 2);
    assert_eq!(node.param_properties("centre").ints("OfxParamPropIsAnimating"), [1]);
    project.go_to(5.0);
    node.set("centre", [0.5, 0.0]);
    assert_eq!(node.keys("centre")[1], (5.0, Value::from([0.5, 0.0])), "a key where he is");
    node.delete_key("centre", 5.0);
    node.delete_keys("centre");
    assert_eq!(node.doubles("centre"), [0.0, 1.0]);
    node.reset("centre");
    assert_eq!(node.doubles("centre"), [0.5, 0.5]);
}

#[test]
fn an_edit_of_the_plugin_is_one_step() {
    let Scene { node, project, .. } = &Scene::new(Profile::plain());
    project.go_to(12.0);
    node.set("level", 0.1);
    node.press("go");
    assert_eq!(node.keys("level"), [(12.0, 0.75.into())]);
    assert_eq!((node.int("count"), node.text("status").as_str()), (1, "gone"));
    assert_eq!(node.undo_steps(), ["Change level", "An edit"]);
    assert_eq!(node.undo().as_deref(), Some("An edit"));
    assert_eq!((node.double("level"), node.int("count")), (0.1, 0));
    assert!(node.keys("level").is_empty());
    assert_eq!(node.undo().as_deref(), Some("Change level"));
    assert_eq!((node.double("level"), node.undo()), (0.5, None));
    assert_eq!(node.redo().as_deref(), Some("Change level"));
    assert_eq!(node.redo().as_deref(), Some("An edit"));
    assert_eq!((node.double("level"), node.int("count"), node.redo()), (0.75, 1, None));
    node.undo();
    node.set("count", 9);
    assert_eq!(node.redo_steps(), [""; 0], "a new step forgets what was undone");
}

#[test]
fn what_is_undone_is_up_to_the_host() {
    let steps = |profile: Profile, panel: bool| {
        let Scene { node, .. } = &Scene::new(profile);
        if !panel {
            node.close_panel();
        }
        node.press("go");
        node.undo_steps()
    };
    let with = |undo| Profile { undo, ..Profile::plain() };
    assert_eq!(steps(with(Undo::CanUndo), false), ["An edit"]);
    assert_eq!(steps(with(Undo::EditBlockInOpenPanel), true), ["An edit"]);
    assert_eq!(steps(with(Undo::EditBlockInOpenPanel), false), [""; 0]);
    assert_eq!(steps(with(Undo::OfTheArtistOnly), true), [""; 0]);
}

#[test]
fn messages_are_put_together_and_questions_answered() {
    let Scene { node, project, host, .. } = &Scene::new(Profile::plain());
    project.go_to(33.0);
    node.press("ask");
    let question = Message {
        kind: "OfxMessageQuestion".to_owned(),
        id: "really".to_owned(),
        text: "Sure, 100 %?".to_owned(),
    };
    assert_eq!(node.messages(), [question]);
    assert_eq!((node.text("status").as_str(), node.int("count")), ("yes", 33));
    host.answer_questions(false);
    node.press("ask");
    assert_eq!(node.text("status"), "no");
}

#[test]
fn progress_is_written_down_and_can_be_cancelled() {
    let Scene { node, host, .. } = &Scene::new(Profile::plain());
    node.press("work");
    assert_eq!(node.text("status"), "worked");
    assert_eq!(node.progress()[..2], [Progress::Start("Working".into()), Progress::Update(0.0)]);
    assert_eq!((node.progress().len(), node.progress().last()), (12, Some(&Progress::End)));
    node.forget_told();
    host.cancel_progress_at(Some(3));
    node.press("work");
    assert_eq!((node.text("status").as_str(), node.progress().len()), ("cancelled", 5));
}

#[test]
fn changes_can_be_told_as_they_are() {
    let Scene { node, .. } = &Scene::new(Profile::plain());
    for reason in [Reason::PluginEdited, Reason::Time, Reason::UserEdited] {
        let answer = node.changed("OfSomebodyElse", reason, 3.0);
        assert_eq!(answer, Status::REPLY_DEFAULT);
    }
    assert_eq!(node.action("OfxActionOfTheFuture"), Status::REPLY_DEFAULT);
    assert_eq!(node.press("go"), Status::OK);
}
