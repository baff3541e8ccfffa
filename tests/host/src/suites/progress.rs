//! Progress suite, versions 1 and 2: what is told is kept, and the artist may cancel.

#![allow(unsafe_code, reason = "functions that C calls")]

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use openfx_sys::{OfxProgressSuiteV1, OfxProgressSuiteV2};

use crate::boundary::{Answer, OptionalText, suite_functions, without};
use crate::doing;
use crate::effect::Effect;
use crate::host::Artist;
use crate::node::told::Progress;
use crate::node::{NodeState, lifecycle};
use crate::rules::Rule;
use crate::status::Status;

fn node(effect: &Effect) -> Result<Arc<NodeState>, Status> {
    if doing::now().is_some_and(|doing| doing.action.is_of_rendering()) {
        doing::fault(Rule::OrderedProgress, "progress is shown while rendering".to_owned());
    }
    effect.node.upgrade().ok_or(Status::ERR_BAD_HANDLE)
}

fn begin(effect: &Effect, label: String) -> Answer {
    let node = node(effect)?;
    let mut told = node.told.lock();
    if told.progressing.is_some() {
        doing::fault(Rule::OrderedProgress, "progress is started while one is shown".to_owned());
    }
    told.progressing = Some(0);
    told.progress.push(Progress::Start(label));
    Ok(())
}

suite_functions! {
    fn start1(effect: Arc<Effect> as *mut c_void, label: OptionalText as *const c_char) {
        begin(&effect, label.0)
    }

    fn start2(effect: Arc<Effect> as *mut c_void, label: OptionalText as *const c_char, _id: OptionalText as *const c_char) {
        begin(&effect, label.0)
    }

    fn update(effect: Arc<Effect> as *mut c_void, part: f64 as f64) {
        let node = node(&effect)?;
        let Artist { cancels_at, deletes_at, .. } = *effect.host.artist.lock();
        let mut told = node.told.lock();
        if !(0.0..=1.0).contains(&part) {
            doing::fault(Rule::OrderedProgress, format!("progress is {part}, not 0 to 1"));
        }
        told.progress.push(Progress::Update(part));
        let Some(updates) = &mut told.progressing else {
            doing::fault(Rule::OrderedProgress, "progress is updated and none shown".to_owned());
            return Err(Status::FAILED);
        };
        *updates += 1;
        let updates = *updates;
        drop(told);
        if deletes_at == Some(updates) {
            node.project.remove(&node);
            lifecycle::destroy(&node);
        }
        if cancels_at.is_some_and(|at| updates >= at) { Err(Status::REPLY_NO) } else { Ok(()) }
    }

    fn end(effect: Arc<Effect> as *mut c_void) {
        let node = node(&effect)?;
        let mut told = node.told.lock();
        if told.progressing.take().is_none() {
            doing::fault(Rule::OrderedProgress, "progress is ended and none shown".to_owned());
        }
        told.progress.push(Progress::End);
        Ok(())
    }
}

pub(super) fn first(nulls: &[String]) -> OfxProgressSuiteV1 {
    let mut suite = OfxProgressSuiteV1 {
        progressStart: Some(start1),
        progressUpdate: Some(update),
        progressEnd: Some(end),
    };
    without!(suite, nulls, [progressStart, progressUpdate, progressEnd]);
    suite
}

pub(super) fn second(nulls: &[String]) -> OfxProgressSuiteV2 {
    let mut suite = OfxProgressSuiteV2 {
        progressStart: Some(start2),
        progressUpdate: Some(update),
        progressEnd: Some(end),
    };
    without!(suite, nulls, [progressStart, progressUpdate, progressEnd]);
    suite
}
