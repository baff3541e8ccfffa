//! Interact suite, version 1.

#![allow(unsafe_code, reason = "functions that C calls")]

use std::ptr::without_provenance_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use openfx_sys::{OfxInteractHandle, OfxInteractSuiteV1, OfxPropertySetHandle};

use crate::action::Action;
use crate::boundary::{Place, suite_functions, without};
use crate::doing;
use crate::overlay::Interact;
use crate::rules::Rule;
use crate::status::Status;

suite_functions! {
    fn swap_buffers(_interact: Arc<Interact> as OfxInteractHandle) {
        let words = "buffers are swapped, which an overlay must not do".to_owned();
        doing::fault(Rule::DrawInDraw, words);
        Err(Status::FAILED)
    }

    fn redraw(interact: Arc<Interact> as OfxInteractHandle) {
        let doing = doing::here()?;
        if doing.action.is_of_rendering() || doing.action == Action::Draw {
            doing.fault(Rule::DrawInDraw, "another drawing is asked for".to_owned());
            return Err(Status::FAILED);
        }
        interact.redraws.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn properties(interact: Arc<Interact> as OfxInteractHandle, place: Place<OfxPropertySetHandle> as *mut OfxPropertySetHandle) {
        place.put(without_provenance_mut(interact.properties.handle()));
        Ok(())
    }
}

pub(super) fn suite(nulls: &[String]) -> OfxInteractSuiteV1 {
    let mut suite = OfxInteractSuiteV1 {
        interactSwapBuffers: Some(swap_buffers),
        interactRedraw: Some(redraw),
        interactGetPropertySet: Some(properties),
    };
    without!(suite, nulls, [interactSwapBuffers, interactRedraw, interactGetPropertySet]);
    suite
}
