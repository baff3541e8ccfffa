//! Property suite, version 1.

#![allow(unsafe_code, reason = "arrays come as pointer and count")]

use std::ffi::{c_char, c_int, c_void};
use std::ptr::with_exposed_provenance_mut;
use std::sync::Arc;

use openfx_sys::{OfxPropertySetHandle as Set, OfxPropertySuiteV1};

use crate::boundary::{Opaque, Place, Received, Several, Text, suite_functions, without};
use crate::doing;
use crate::lent::lend;
use crate::properties::{Item, PropertySet, Type};
use crate::rules::Rule;
use crate::status::Status;

type Name = *const c_char;

fn count(count: i32) -> Result<usize, Status> {
    usize::try_from(count).map_err(|_| {
        doing::fault(Rule::PropertyIndex, format!("a count is {count}"));
        Status::ERR_BAD_INDEX
    })
}

fn ints(set: &PropertySet, name: &str, index: i32) -> Result<i32, Status> {
    match set.value(name, index, Type::Int)? {
        Item::Int(value) => Ok(value),
        _ => Err(Status::ERR_VALUE),
    }
}

fn doubles(set: &PropertySet, name: &str, index: i32) -> Result<f64, Status> {
    match set.value(name, index, Type::Double)? {
        Item::Double(value) => Ok(value),
        _ => Err(Status::ERR_VALUE),
    }
}

fn texts(set: &PropertySet, name: &str, index: i32) -> Result<*mut c_char, Status> {
    match set.value(name, index, Type::Text)? {
        Item::Text(value) => Ok(lend(&value)),
        _ => Err(Status::ERR_VALUE),
    }
}

fn pointers(set: &PropertySet, name: &str, index: i32) -> Result<*mut c_void, Status> {
    match set.value(name, index, Type::Pointer)? {
        Item::Pointer(value) => Ok(with_exposed_provenance_mut(value)),
        _ => Err(Status::ERR_VALUE),
    }
}

fn several<T>(
    set: &PropertySet,
    name: &str,
    room: i32,
    read: impl Fn(&PropertySet, &str, i32) -> Result<T, Status>,
) -> Result<Vec<T>, Status> {
    count(room)?;
    (0..room).map(|index| read(set, name, index)).collect()
}

suite_functions! {
    fn set_pointer(set: Arc<PropertySet> as Set, name: Text as Name, index: i32 as c_int, value: Opaque as *mut c_void) {
        set.write(&name, index, Item::Pointer(value.0))
    }

    fn set_string(set: Arc<PropertySet> as Set, name: Text as Name, index: i32 as c_int, value: Text as *const c_char) {
        set.write(&name, index, Item::Text(value.0))
    }

    fn set_double(set: Arc<PropertySet> as Set, name: Text as Name, index: i32 as c_int, value: f64 as f64) {
        set.write(&name, index, Item::Double(value))
    }

    fn set_int(set: Arc<PropertySet> as Set, name: Text as Name, index: i32 as c_int, value: i32 as c_int) {
        set.write(&name, index, Item::Int(value))
    }

    fn set_pointers(set: Arc<PropertySet> as Set, name: Text as Name, many: i32 as c_int, values: Several<*const *mut c_void> as *const *mut c_void) {
        let many = count(many)?;
        // SAFETY: there are as many as the plug-in says.
        let values = unsafe { values.copied(many) };
        let item = |value: *mut c_void| Item::Pointer(value.expose_provenance());
        set.write_all(&name, values.into_iter().map(item).collect())
    }

    fn set_strings(set: Arc<PropertySet> as Set, name: Text as Name, many: i32 as c_int, values: Several<*const *const c_char> as *const *const c_char) {
        let many = count(many)?;
        // SAFETY: there are as many as the plug-in says, C strings or null.
        let values: Result<Vec<Text>, _> = unsafe {
            values.copied(many).into_iter().map(|value| Text::received(value)).collect()
        };
        set.write_all(&name, values?.into_iter().map(|text| Item::Text(text.0)).collect())
    }

    fn set_doubles(set: Arc<PropertySet> as Set, name: Text as Name, many: i32 as c_int, values: Several<*const f64> as *const f64) {
        let many = count(many)?;
        // SAFETY: there are as many as the plug-in says.
        let values = unsafe { values.copied(many) };
        set.write_all(&name, values.into_iter().map(Item::Double).collect())
    }

    fn set_ints(set: Arc<PropertySet> as Set, name: Text as Name, many: i32 as c_int, values: Several<*const c_int> as *const c_int) {
        let many = count(many)?;
        // SAFETY: there are as many as the plug-in says.
        let values = unsafe { values.copied(many) };
        set.write_all(&name, values.into_iter().map(Item::Int).collect())
    }

    fn get_pointer(set: Arc<PropertySet> as Set, name: Text as Name, index: i32 as c_int, place: Place<*mut c_void> as *mut *mut c_void) {
        place.put(pointers(&set, &name, index)?);
        Ok(())
    }

    fn get_string(set: Arc<PropertySet> as Set, name: Text as Name, index: i32 as c_int, place: Place<*mut c_char> as *mut *mut c_char) {
        place.put(texts(&set, &name, index)?);
        Ok(())
    }

    fn get_double(set: Arc<PropertySet> as Set, name: Text as Name, index: i32 as c_int, place: Place<f64> as *mut f64) {
        place.put(doubles(&set, &name, index)?);
        Ok(())
    }

    fn get_int(set: Arc<PropertySet> as Set, name: Text as Name, index: i32 as c_int, place: Place<c_int> as *mut c_int) {
        place.put(ints(&set, &name, index)?);
        Ok(())
    }

    fn get_pointers(set: Arc<PropertySet> as Set, name: Text as Name, room: i32 as c_int, places: Several<*mut *mut c_void> as *mut *mut c_void) {
        let found = several(&set, &name, room, pointers)?;
        // SAFETY: the plug-in says that there is so much room.
        unsafe { places.put(found) };
        Ok(())
    }

    fn get_strings(set: Arc<PropertySet> as Set, name: Text as Name, room: i32 as c_int, places: Several<*mut *mut c_char> as *mut *mut c_char) {
        let found = several(&set, &name, room, texts)?;
        // SAFETY: the plug-in says that there is so much room.
        unsafe { places.put(found) };
        Ok(())
    }

    fn get_doubles(set: Arc<PropertySet> as Set, name: Text as Name, room: i32 as c_int, places: Several<*mut f64> as *mut f64) {
        let found = several(&set, &name, room, doubles)?;
        // SAFETY: the plug-in says that there is so much room.
        unsafe { places.put(found) };
        Ok(())
    }

    fn get_ints(set: Arc<PropertySet> as Set, name: Text as Name, room: i32 as c_int, places: Several<*mut c_int> as *mut c_int) {
        let found = several(&set, &name, room, ints)?;
        // SAFETY: the plug-in says that there is so much room.
        unsafe { places.put(found) };
        Ok(())
    }

    fn reset(set: Arc<PropertySet> as Set, name: Text as Name) {
        set.reset(&name)
    }

    fn dimension(set: Arc<PropertySet> as Set, name: Text as Name, place: Place<c_int> as *mut c_int) {
        place.put(c_int::try_from(set.dimension(&name)?).unwrap_or(c_int::MAX));
        Ok(())
    }
}

pub(super) fn suite(nulls: &[String]) -> OfxPropertySuiteV1 {
    let mut suite = OfxPropertySuiteV1 {
        propSetPointer: Some(set_pointer),
        propSetString: Some(set_string),
        propSetDouble: Some(set_double),
        propSetInt: Some(set_int),
        propSetPointerN: Some(set_pointers),
        propSetStringN: Some(set_strings),
        propSetDoubleN: Some(set_doubles),
        propSetIntN: Some(set_ints),
        propGetPointer: Some(get_pointer),
        propGetString: Some(get_string),
        propGetDouble: Some(get_double),
        propGetInt: Some(get_int),
        propGetPointerN: Some(get_pointers),
        propGetStringN: Some(get_strings),
        propGetDoubleN: Some(get_doubles),
        propGetIntN: Some(get_ints),
        propReset: Some(reset),
        propGetDimension: Some(dimension),
    };
    without!(
        suite,
        nulls,
        [
            propSetPointer,
            propSetString,
            propSetDouble,
            propSetInt,
            propSetPointerN,
            propSetStringN,
            propSetDoubleN,
            propSetIntN,
            propGetPointer,
            propGetString,
            propGetDouble,
            propGetInt,
            propGetPointerN,
            propGetStringN,
            propGetDoubleN,
            propGetIntN,
            propReset,
            propGetDimension,
        ]
    );
    suite
}
