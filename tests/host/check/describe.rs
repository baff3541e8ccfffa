//! Level 2: what a plug-in says about itself.

use wan_alpha_test_host::{Context, Depth, LoadError, Profile, Status};

use crate::check::Check;
use crate::report::Report;
use crate::subject::Subject;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "describe.contexts",
        about: "The contexts that it offers.",
        why: "A host shows a plug-in only in contexts that both know; Nuke lists Filter and General only.",
        fix: "Offer contexts by their names, General among them, with one optional input where the effect needs none.",
        patience: 20,
        work: contexts,
    },
    Check {
        id: "describe.names",
        about: "Label, group and version as artists see them.",
        why: "They name the menu entry; Nuke makes node names of labels and complains about other characters.",
        fix: "Set OfxPropLabel and OfxImageEffectPluginPropGrouping; keep the label to letters, digits and spaces.",
        patience: 20,
        work: names,
    },
    Check {
        id: "describe.pixels",
        about: "Pixel depths and the components of clips.",
        why: "Nuke and Fusion work in floating point, Vegas and Catalyst in bytes: without a depth in common nothing is shown.",
        fix: "Offer Float and, where it is no effort, Byte and Short; say what components each clip takes.",
        patience: 20,
        work: pixels,
    },
    Check {
        id: "describe.properties",
        about: "The names of properties that it sets and reads while it is described.",
        why: "A name that OpenFX does not define is a mistake in spelling, or one host's own; other hosts refuse it.",
        fix: "Correct the name, or go on where a host does not know it.",
        patience: 20,
        work: properties,
    },
    Check {
        id: "describe.again",
        about: "Whether it describes itself the same way each time.",
        why: "Hosts keep the description in a cache and describe again when they load.",
        fix: "Let descriptions depend on the host and the context only.",
        patience: 20,
        work: again,
    },
    Check {
        id: "describe.actions",
        about: "Answers to actions that nobody knows.",
        why: "Newer hosts ask for newer actions.",
        fix: "Answer every action that you do not handle with kOfxStatReplyDefault.",
        patience: 20,
        work: actions,
    },
    Check {
        id: "describe.safety",
        about: "What it says about threads.",
        why: "A host that is told nothing has to choose, and an unsafe plug-in holds up the whole host.",
        fix: "Set OfxImageEffectPluginRenderThreadSafety to what is true.",
        patience: 20,
        work: safety,
    },
];

fn contexts(subject: &Subject, report: &mut Report) {
    subject.loaded(report, Profile::plain(), |plugin, _, report| {
        let offered = plugin.properties().texts("OfxImageEffectPropSupportedContexts");
        for name in &offered {
            if Context::named(name).is_none() {
                report.fault(format!("{name:?} is no context of OpenFX"));
            }
        }
        let mut unique = offered.clone();
        unique.sort();
        unique.dedup();
        if unique.len() != offered.len() {
            report.advice(format!("a context is offered twice: {offered:?}"));
        }
        if !["Filter", "General"].iter().any(|name| offered.iter().any(|o| o.ends_with(name))) {
            report.advice("it offers neither Filter nor General, so Nuke does not list it");
        }
        for context in plugin.contexts() {
            report.step(format!("in the context {context:?}"));
            let Some(described) = plugin.described(context) else { continue };
            let clips = described.clips();
            let optional = |clip: &String| {
                let set = described.clip(clip);
                set.is_some_and(|set| set.ints("OfxImageClipPropOptional") == [1])
            };
            let inputs: Vec<_> = clips.iter().filter(|clip| *clip != "Output").collect();
            if context == Context::Generator && inputs.iter().any(|clip| !optional(clip)) {
                report.fault(format!("a generator has no inputs that must be there: {inputs:?}"));
            }
            if context == Context::Filter && !clips.iter().any(|clip| clip == "Source") {
                report.fault("a filter has an input called Source");
            }
        }
    });
}

fn names(subject: &Subject, report: &mut Report) {
    subject.loaded(report, Profile::plain(), |plugin, _, report| {
        let properties = plugin.properties();
        let label = properties.text("OfxPropLabel").unwrap_or_default();
        report.note(format!("it is called {label:?}"));
        if label.trim().is_empty() {
            report.fault("the label is empty");
        }
        let odd: String = label
            .chars()
            .filter(|letter| !letter.is_ascii_alphanumeric() && !matches!(letter, ' ' | '_'))
            .collect();
        if !odd.is_empty() {
            report.advice(format!("the label {label:?} has {odd:?}"));
        }
        let grouping = properties.text("OfxImageEffectPluginPropGrouping").unwrap_or_default();
        if grouping.trim().is_empty() {
            report.advice("there is no group: each host puts it somewhere else");
        }
    });
}

fn pixels(subject: &Subject, report: &mut Report) {
    subject.loaded(report, Profile::plain(), |plugin, _, report| {
        let depths = plugin.properties().texts("OfxImageEffectPropSupportedPixelDepths");
        for name in depths.iter().filter(|name| Depth::named(name).is_none()) {
            report.fault(format!("{name:?} is no pixel depth of OpenFX"));
        }
        if depths.is_empty() {
            report.fault("no pixel depth is offered");
        } else if !depths.iter().any(|name| name == Depth::Float.name()) {
            report.advice("floating point is not offered, so Nuke does not show it");
        }
        for context in plugin.contexts() {
            let Some(described) = plugin.described(context) else { continue };
            for clip in described.clips() {
                let set = described.clip(&clip);
                let components = set.map(|set| set.texts("OfxImageEffectPropSupportedComponents"));
                if components.is_none_or(|names| names.iter().all(String::is_empty)) {
                    report.fault(format!("the clip {clip} takes no components, in {context:?}"));
                }
            }
        }
    });
}

fn properties(subject: &Subject, report: &mut Report) {
    subject.loaded(report, Profile::plain(), |_, host, report| {
        for unknown in host.unknown_properties() {
            report.advice(format!("OpenFX has no {unknown}"));
        }
    });
}

fn again(subject: &Subject, report: &mut Report) {
    for profile in [Profile::plain(), Profile::nuke(), Profile::resolve(), Profile::natron()] {
        report.step(format!("in {}", profile.label));
        let host = Subject::host(profile);
        match host.open(&subject.file).and_then(|binary| binary.plugin(subject.nth)) {
            Ok(plugin) => plugin.describe_again(),
            Err(LoadError::NoContext { .. }) => {}
            Err(error) => report.fault(error.to_string()),
        }
        report.rules(&host);
    }
}

fn actions(subject: &Subject, report: &mut Report) {
    const NAMES: &[&str] = &["OfxActionOfTheFuture", "com.company.action", ""];
    subject.loaded(report, Profile::plain(), |plugin, _, report| {
        for name in NAMES {
            report.step(format!("the action {name:?} of nothing"));
            expect_default(plugin.raw_action(Some(name)), report);
        }
    });
    subject.node(report, Profile::plain(), |scene, report| {
        for name in NAMES {
            report.step(format!("the action {name:?} of an instance"));
            expect_default(scene.node.action(name), report);
        }
    });
}

fn expect_default(status: Status, report: &mut Report) {
    if status != Status::REPLY_DEFAULT {
        report.fault(format!("it is answered with {status}"));
    }
}

fn safety(subject: &Subject, report: &mut Report) {
    const NAME: &str = "OfxImageEffectPluginRenderThreadSafety";
    const KNOWN: [&str; 3] = [
        "OfxImageEffectRenderUnsafe",
        "OfxImageEffectRenderInstanceSafe",
        "OfxImageEffectRenderFullySafe",
    ];
    subject.loaded(report, Profile::plain(), |plugin, _, report| {
        let found = plugin.properties().text(NAME).unwrap_or_default();
        report.note(found.clone());
        if !KNOWN.contains(&found.as_str()) {
            report.fault(format!("{NAME} is {found:?}"));
        } else if !plugin.properties().was_set(NAME) {
            report.advice(format!("{NAME} is left to the host"));
        }
    });
}
