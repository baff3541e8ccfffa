//! Timeline suite, version 1.

#![allow(unsafe_code, reason = "functions that C calls")]

use std::ffi::c_void;
use std::sync::Arc;

use openfx_sys::OfxTimeLineSuiteV1;

use crate::boundary::{Place, suite_functions, without};
use crate::doing;
use crate::effect::Effect;
use crate::project::ProjectState;
use crate::rules::Rule;
use crate::status::Status;

fn project(effect: &Effect) -> Result<Arc<ProjectState>, Status> {
    effect.node.upgrade().map(|node| node.project.clone()).ok_or(Status::ERR_BAD_HANDLE)
}

suite_functions! {
    fn time(effect: Arc<Effect> as *mut c_void, place: Place<f64> as *mut f64) {
        place.put(*project(&effect)?.time.lock());
        Ok(())
    }

    fn go_to(effect: Arc<Effect> as *mut c_void, time: f64 as f64) {
        let project = project(&effect)?;
        if doing::now().is_some_and(|doing| doing.action.is_of_rendering()) {
            doing::fault(Rule::SetWhereAllowed, "gotoTime is called while rendering".to_owned());
            return Err(Status::FAILED);
        }
        *project.time.lock() = time;
        Ok(())
    }

    fn bounds(effect: Arc<Effect> as *mut c_void, first: Place<f64> as *mut f64, last: Place<f64> as *mut f64) {
        let [begin, end] = project(&effect)?.settings.lock().timeline;
        first.put(begin);
        last.put(end);
        Ok(())
    }
}

pub(super) fn suite(nulls: &[String]) -> OfxTimeLineSuiteV1 {
    let mut suite = OfxTimeLineSuiteV1 {
        getTime: Some(time),
        gotoTime: Some(go_to),
        getTimeBounds: Some(bounds),
    };
    without!(suite, nulls, [getTime, gotoTime, getTimeBounds]);
    suite
}
