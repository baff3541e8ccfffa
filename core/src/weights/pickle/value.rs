//! What a pickle of tensors is made of, and the only names that it may refer to.

use std::rc::Rc;

use tch::Kind;

/// The result of one instruction, or what is wrong with it.
pub(super) type Step<T> = Result<T, String>;

/// A value of the pickle. Dictionaries and lists live in the arena of the pickle that was read,
/// because a pickle fills them after it has referred to them.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Bytes,
    Str(Rc<str>),
    Tuple(Rc<[Value]>),
    List(usize),
    Dict(usize),
    Callable(Callable),
    StorageKind(Kind),
    Storage(Rc<Storage>),
    Tensor(Rc<PickledTensor>),
}

/// The only functions a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callable {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
}

/// A block of numbers in the archive, `data/<key>`.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub key: Rc<str>,
    pub kind: Kind,
    pub numel: i64,
}

/// A view of a [`Storage`]: sizes and strides in elements.
#[derive(Clone, Debug)]
pub(crate) struct PickledTensor {
    pub storage: Rc<Storage>,
    pub offset: i64,
    pub shape: Vec<i64>,
    pub strides: Vec<i64>,
}

/// What a global name stands for; an error that says it for any that tensors do not need.
pub(super) fn named(module: &str, name: &str) -> Step<Value> {
    let storage = |kind| Ok(Value::StorageKind(kind));
    match (module, name) {
        ("collections", "OrderedDict") => Ok(Value::Callable(Callable::OrderedDict)),
        ("torch._utils", "_rebuild_tensor_v2") => Ok(Value::Callable(Callable::RebuildTensor)),
        ("torch._utils", "_rebuild_parameter") => Ok(Value::Callable(Callable::RebuildParameter)),
        ("torch", "FloatStorage") => storage(Kind::Float),
        ("torch", "DoubleStorage") => storage(Kind::Double),
        ("torch", "HalfStorage") => storage(Kind::Half),
        ("torch", "BFloat16Storage") => storage(Kind::BFloat16),
        ("torch", "LongStorage") => storage(Kind::Int64),
        ("torch", "IntStorage") => storage(Kind::Int),
        ("torch", "ShortStorage") => storage(Kind::Int16),
        ("torch", "CharStorage") => storage(Kind::Int8),
        ("torch", "ByteStorage") => storage(Kind::Uint8),
        ("torch", "BoolStorage") => storage(Kind::Bool),
        _ => Err(format!(
            "it refers to `{module}.{name}`, which a file of tensors does not need; nothing of it \
             was run. If you trust the file, load it in PyTorch and save its tensors as safetensors"
        )),
    }
}

/// The integers of a tuple of sizes or strides.
pub(super) fn integers(values: &[Value]) -> Step<Vec<i64>> {
    values
        .iter()
        .map(|value| match value {
            Value::Int(value) => Ok(*value),
            _ => Err("a size is not a number".to_owned()),
        })
        .collect()
}
