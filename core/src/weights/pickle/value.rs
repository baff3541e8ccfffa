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
    /// A class of storages: the kind of its numbers, none where they are bytes of any kind.
    StorageKind(Option<Kind>),
    /// A `torch.dtype`.
    ElementKind(ElementKind),
    Storage(Rc<Storage>),
    Tensor(Rc<PickledTensor>),
}

/// The only functions a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callable {
    OrderedDict,
    RebuildTensor,
    RebuildTensorOfKind,
    RebuildParameter,
}

/// What the numbers of a tensor are.
#[derive(Clone, Debug)]
pub(crate) enum ElementKind {
    /// A kind that libtorch's binding knows.
    Known(Kind),
    /// Another one, and the bytes of each number.
    Unreadable { name: &'static str, bytes: i64 },
}

/// A block of numbers in the archive, `data/<key>`.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub key: Rc<str>,
    /// The kind of its numbers, none where they are bytes of any kind.
    pub kind: Option<Kind>,
    /// Bytes of what is counted.
    pub bytes_each: i64,
    pub numel: i64,
}

/// A view of a [`Storage`]: sizes and strides in elements.
#[derive(Clone, Debug)]
pub(crate) struct PickledTensor {
    pub storage: Rc<Storage>,
    pub kind: ElementKind,
    pub offset: i64,
    pub shape: Vec<i64>,
    pub strides: Vec<i64>,
}

/// What a global name stands for; an error that says it for any that tensors do not need.
pub(super) fn named(module: &str, name: &str) -> Step<Value> {
    let storage = |kind| Ok(Value::StorageKind(Some(kind)));
    match (module, name) {
        ("collections", "OrderedDict") => Ok(Value::Callable(Callable::OrderedDict)),
        ("torch._utils", "_rebuild_tensor_v2") => Ok(Value::Callable(Callable::RebuildTensor)),
        ("torch._utils", "_rebuild_tensor_v3") => {
            Ok(Value::Callable(Callable::RebuildTensorOfKind))
        }
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
        ("torch.storage" | "torch", "UntypedStorage") => Ok(Value::StorageKind(None)),
        ("torch", name) => {
            element_kind(name).map(Value::ElementKind).ok_or_else(|| refusal(module, name))
        }
        _ => Err(refusal(module, name)),
    }
}

fn refusal(module: &str, name: &str) -> String {
    format!(
        "it refers to `{module}.{name}`, which a file of tensors does not need; nothing of it was run. \
         If you trust the file, load it in PyTorch and save its tensors as safetensors"
    )
}

/// The kind that a `torch.dtype` names.
fn element_kind(name: &str) -> Option<ElementKind> {
    let known = match name {
        "float32" => Kind::Float,
        "float64" => Kind::Double,
        "float16" => Kind::Half,
        "bfloat16" => Kind::BFloat16,
        "float8_e4m3fn" => Kind::Float8e4m3fn,
        "float8_e5m2" => Kind::Float8e5m2,
        "int64" => Kind::Int64,
        "int32" => Kind::Int,
        "int16" => Kind::Int16,
        "int8" => Kind::Int8,
        "uint8" => Kind::Uint8,
        "bool" => Kind::Bool,
        _ => {
            const OTHERS: [(&str, i64); 7] = [
                ("uint16", 2),
                ("uint32", 4),
                ("uint64", 8),
                ("float8_e4m3fnuz", 1),
                ("float8_e5m2fnuz", 1),
                ("float8_e8m0fnu", 1),
                ("float4_e2m1fn_x2", 1),
            ];
            let &(name, bytes) = OTHERS.iter().find(|(other, _)| *other == name)?;
            return Some(ElementKind::Unreadable { name, bytes });
        }
    };
    Some(ElementKind::Known(known))
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
