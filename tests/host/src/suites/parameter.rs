//! Parameter suite, version 1.

#![allow(unsafe_code, reason = "functions that C calls")]

use std::ffi::{c_char, c_int, c_uint};
use std::ptr::without_provenance_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use openfx_sys::{
    OfxParamHandle, OfxParamSetHandle, OfxParameterSuiteV1, OfxPropertySetHandle, OfxRangeD,
    OfxTime,
};

use super::variable;
use crate::action::Action;
use crate::boundary::{
    Answer, OptionalPlace, OptionalText, Place, Received, Text, suite_functions, without,
};
use crate::doing;
use crate::effect::Role;
use crate::params::{Param, ParamKind, ParamSet, Value, change, undo};
use crate::properties::Type;
use crate::rules::Rule;
use crate::status::Status;

pub(super) fn has_no_value(param: &Param) -> Status {
    let words = format!("{} is a {} and has no value", param.id, param.kind.name());
    doing::fault(Rule::Definition, words);
    Status::ERR_UNSUPPORTED
}

pub(super) fn null_place(param: &Param) -> Status {
    doing::fault(Rule::NotNull, format!("the place for a value of {} is null", param.id));
    Status::ERR_VALUE
}

fn on_instance(param: &Param) -> Answer {
    let effect = param.effect.upgrade().ok_or(Status::ERR_BAD_HANDLE)?;
    if effect.role == Role::Instance {
        return Ok(());
    }
    let words = format!("the value of {} is used while it is being described", param.id);
    doing::fault(Rule::Definition, words);
    Err(Status::ERR_BAD_HANDLE)
}

/// A value as the plug-in is told it.
pub(super) fn value(param: &Param, time: Option<f64>) -> Result<Value, Status> {
    on_instance(param)?;
    let doing = doing::here()?;
    if time.is_none() && doing.action.is_of_rendering() {
        doing.fault(Rule::ReadAtTime, format!("{} is read without a time", param.id));
    }
    let time = time.or(doing.time).unwrap_or_else(|| change::timeline_time(param));
    let value = param.curve.lock().at(time, param.kind);
    let evaluates = doing.host.profile.evaluates_strings && param.kind == ParamKind::String;
    Ok(match value {
        Value::Text(text) if evaluates => Value::Text(change::evaluated(&text)),
        value => value,
    })
}

pub(super) fn derivative(param: &Param, time: f64) -> Result<Value, Status> {
    on_instance(param)?;
    if param.kind.of() != Type::Double {
        return Err(Status::ERR_UNSUPPORTED);
    }
    Ok(Value::Doubles(param.curve.lock().derivative(time, param.kind)))
}

pub(super) fn integral(param: &Param, from: f64, until: f64) -> Result<Value, Status> {
    on_instance(param)?;
    if param.kind.of() != Type::Double {
        return Err(Status::ERR_UNSUPPORTED);
    }
    Ok(Value::Doubles(param.curve.lock().integral(from, until, param.kind)))
}

pub(super) fn set(param: &Arc<Param>, value: Value, time: Option<f64>) -> Answer {
    on_instance(param)?;
    change::by_plugin(param, "sets", |curve, current| {
        let time = time.or(curve.is_animating().then_some(current));
        match time.filter(|_| param.animates()) {
            Some(time) => curve.key(time, value),
            None => curve.set(value),
        }
        true
    })
}

suite_functions! {
    fn define(set: Arc<ParamSet> as OfxParamSetHandle, kind: Text as *const c_char, id: Text as *const c_char, place: OptionalPlace<OfxPropertySetHandle> as *mut OfxPropertySetHandle) {
        let effect = set.effect.upgrade().ok_or(Status::ERR_BAD_HANDLE)?;
        if !matches!(effect.role, Role::InContext(_)) {
            let words = format!("parameter {:?} is defined on {}", id.0, effect.title());
            doing::fault(Rule::Definition, words);
            return Err(Status::FAILED);
        }
        let Some(kind) = ParamKind::named(&kind) else {
            // What is newer than the host is not the plug-in's fault.
            return Err(Status::ERR_UNSUPPORTED);
        };
        if set.find(&id).is_some() {
            doing::fault(Rule::Definition, format!("parameter {:?} is defined twice", id.0));
            return Err(Status::ERR_EXISTS);
        }
        let param = Param::described(&effect.host, Arc::downgrade(&effect), &id, kind);
        place.put(without_provenance_mut(param.properties.handle()));
        set.add(param);
        Ok(())
    }

    fn handle(set: Arc<ParamSet> as OfxParamSetHandle, id: Text as *const c_char, place: Place<OfxParamHandle> as *mut OfxParamHandle, properties: OptionalPlace<OfxPropertySetHandle> as *mut OfxPropertySetHandle) {
        let param = set.find(&id).ok_or(Status::ERR_UNKNOWN)?;
        place.put(without_provenance_mut(param.handle()));
        properties.put(without_provenance_mut(param.properties.handle()));
        Ok(())
    }

    fn set_properties(set: Arc<ParamSet> as OfxParamSetHandle, place: Place<OfxPropertySetHandle> as *mut OfxPropertySetHandle) {
        place.put(without_provenance_mut(set.properties.handle()));
        Ok(())
    }

    fn properties(param: Arc<Param> as OfxParamHandle, place: Place<OfxPropertySetHandle> as *mut OfxPropertySetHandle) {
        place.put(without_provenance_mut(param.properties.handle()));
        Ok(())
    }

    fn key_count(param: Arc<Param> as OfxParamHandle, place: Place<c_uint> as *mut c_uint) {
        on_instance(&param)?;
        place.put(c_uint::try_from(param.curve.lock().keys().len()).unwrap_or(c_uint::MAX));
        Ok(())
    }

    fn key_time(param: Arc<Param> as OfxParamHandle, nth: u32 as c_uint, place: Place<f64> as *mut OfxTime) {
        on_instance(&param)?;
        let curve = param.curve.lock();
        let key = usize::try_from(nth).ok().and_then(|nth| curve.keys().get(nth));
        place.put(key.ok_or(Status::ERR_BAD_INDEX)?.0);
        Ok(())
    }

    fn key_index(param: Arc<Param> as OfxParamHandle, time: f64 as OfxTime, direction: i32 as c_int, place: Place<c_int> as *mut c_int) {
        on_instance(&param)?;
        let curve = param.curve.lock();
        let keys = curve.keys();
        let found = match direction.signum() {
            0 => keys.iter().position(|(at, _)| *at == time),
            1 => keys.iter().position(|(at, _)| *at > time),
            _ => keys.iter().rposition(|(at, _)| *at < time),
        };
        place.put(found.and_then(|at| c_int::try_from(at).ok()).ok_or(Status::FAILED)?);
        Ok(())
    }

    fn delete_key(param: Arc<Param> as OfxParamHandle, time: f64 as OfxTime) {
        on_instance(&param)?;
        if !param.curve.lock().keys().iter().any(|(at, _)| *at == time) {
            return Err(Status::ERR_BAD_INDEX);
        }
        change::by_plugin(&param, "deletes a key of", |curve, _| curve.delete_key(time))
    }

    fn delete_all_keys(param: Arc<Param> as OfxParamHandle) {
        on_instance(&param)?;
        change::by_plugin(&param, "deletes the keys of", |curve, _| {
            curve.delete_all_keys();
            true
        })
    }

    fn copy(to: Arc<Param> as OfxParamHandle, from: Arc<Param> as OfxParamHandle, offset: f64 as OfxTime, range: Option<[f64; 2]> as *const OfxRangeD) {
        on_instance(&to)?;
        on_instance(&from)?;
        if to.kind != from.kind {
            doing::fault(Rule::Definition, format!("{} is copied to {}", from.id, to.id));
            return Err(Status::ERR_VALUE);
        }
        let original = from.curve();
        change::by_plugin(&to, "copies over", |curve, _| {
            curve.set(original.constant().clone());
            for (time, value) in original.keys() {
                if range.is_none_or(|[first, last]| (first..=last).contains(time)) {
                    curve.key(time + offset, value.clone());
                }
            }
            true
        })
    }

    fn begin_edit(set: Arc<ParamSet> as OfxParamSetHandle, name: OptionalText as *const c_char) {
        let doing = doing::here()?;
        if !doing.action.may_set_parameters() || doing.action == Action::CreateInstance {
            doing.fault(Rule::SetWhereAllowed, format!("the edit {:?} is begun", name.0));
            return Err(Status::FAILED);
        }
        doing.edits.fetch_add(1, Ordering::Relaxed);
        undo::begin(&set, &name.0);
        Ok(())
    }

    fn end_edit(set: Arc<ParamSet> as OfxParamSetHandle) {
        let doing = doing::here()?;
        if doing.edits.fetch_sub(1, Ordering::Relaxed) <= 0 {
            doing.edits.fetch_add(1, Ordering::Relaxed);
            doing.fault(Rule::BalancedEdit, "an edit is ended that was not begun".to_owned());
            return Err(Status::FAILED);
        }
        undo::end(&set);
        Ok(())
    }
}

impl Received<*const OfxRangeD> for Option<[f64; 2]> {
    unsafe fn received(given: *const OfxRangeD) -> Result<Self, Status> {
        // SAFETY: the plug-in gives a range or null.
        Ok(unsafe { given.as_ref() }.map(|range| [range.min, range.max]))
    }
}

pub(super) fn suite(nulls: &[String]) -> OfxParameterSuiteV1 {
    let mut suite = OfxParameterSuiteV1 {
        paramDefine: Some(define),
        paramGetHandle: Some(handle),
        paramSetGetPropertySet: Some(set_properties),
        paramGetPropertySet: Some(properties),
        paramGetValue: Some(variable::get_value()),
        paramGetValueAtTime: Some(variable::get_value_at_time()),
        paramGetDerivative: Some(variable::get_derivative()),
        paramGetIntegral: Some(variable::get_integral()),
        paramSetValue: Some(variable::set_value()),
        paramSetValueAtTime: Some(variable::set_value_at_time()),
        paramGetNumKeys: Some(key_count),
        paramGetKeyTime: Some(key_time),
        paramGetKeyIndex: Some(key_index),
        paramDeleteKey: Some(delete_key),
        paramDeleteAllKeys: Some(delete_all_keys),
        paramCopy: Some(copy),
        paramEditBegin: Some(begin_edit),
        paramEditEnd: Some(end_edit),
    };
    without!(
        suite,
        nulls,
        [
            paramDefine,
            paramGetHandle,
            paramSetGetPropertySet,
            paramGetPropertySet,
            paramGetValue,
            paramGetValueAtTime,
            paramGetDerivative,
            paramGetIntegral,
            paramSetValue,
            paramSetValueAtTime,
            paramGetNumKeys,
            paramGetKeyTime,
            paramGetKeyIndex,
            paramDeleteKey,
            paramDeleteAllKeys,
            paramCopy,
            paramEditBegin,
            paramEditEnd,
        ]
    );
    suite
}
