//! The pickles inside `torch.save` files, read without running anything.
//!
//! A pickle is a program for a small stack machine whose dangerous instruction is "call this
//! Python function". This reader knows the instructions that build dictionaries, lists, strings,
//! numbers and tensors, and four callables: `collections.OrderedDict`, and the three functions of
//! `torch._utils` that assemble a tensor. Anything else is refused by name.

mod value;

use std::collections::HashMap;
use std::rc::Rc;

use value::{Callable, Step, Storage, integers, named};
pub(crate) use value::{ElementKind, PickledTensor, Value};

/// A pickle that has been read.
#[derive(Debug)]
pub(crate) struct Pickle {
    pub root: Value,
    dicts: Vec<Vec<(Value, Value)>>,
}

impl Pickle {
    /// Reads a whole pickle; the error says at which byte it stopped being one.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut machine = Machine { bytes, ..Machine::default() };
        let root = machine
            .run()
            .map_err(|problem| format!("{problem} (byte {} of its pickle)", machine.position))?;
        Ok(Self { root, dicts: machine.dicts })
    }

    /// The entries of a dictionary, in order.
    pub(crate) fn entries(&self, dict: usize) -> &[(Value, Value)] {
        self.dicts.get(dict).map_or(&[], Vec::as_slice)
    }
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    lists: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
}

impl Machine<'_> {
    fn run(&mut self) -> Step<Value> {
        loop {
            let opcode = self.byte()?;
            match opcode {
                b'.' => return self.pop(),
                0x80 => self.protocol()?,
                0x95 => drop(self.take(8)?),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),
                b'2' => self.duplicate()?,
                b'N' => self.stack.push(Value::None),
                0x88 | 0x89 => self.stack.push(Value::Bool),
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.stack.push(Value::Int(value.into()));
                }
                b'K' => {
                    let value = self.byte()?;
                    self.stack.push(Value::Int(value.into()));
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.array()?);
                    self.stack.push(Value::Int(value.into()));
                }
                0x8a => self.long()?,
                b'G' => {
                    self.take(8)?;
                    self.stack.push(Value::Float);
                }
                b'X' => self.string::<4>()?,
                0x8c => self.string::<1>()?,
                0x8d => self.string::<8>()?,
                b'U' | b'C' => self.opaque_bytes::<1>()?,
                b'T' | b'B' => self.opaque_bytes::<4>()?,
                b')' => self.stack.push(Value::Tuple(Rc::from([]))),
                b't' => {
                    let items = self.pop_mark()?;
                    self.stack.push(Value::Tuple(items.into()));
                }
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b']' => {
                    self.lists.push(Vec::new());
                    self.stack.push(Value::List(self.lists.len() - 1));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.append(items)?;
                }
                b'}' => self.new_dict(),
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set_items(vec![key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.set_items(items)?;
                }
                b'q' => {
                    let slot = self.byte()?;
                    self.memoize(slot.into())?;
                }
                b'r' => {
                    let slot = u32::from_le_bytes(self.array()?);
                    self.memoize(slot.into())?;
                }
                0x94 => self.memoize(self.memo.len() as u64)?,
                b'h' => {
                    let slot = self.byte()?;
                    self.recall(slot.into())?;
                }
                b'j' => {
                    let slot = u32::from_le_bytes(self.array()?);
                    self.recall(slot.into())?;
                }
                b'c' => {
                    let module = self.line()?;
                    let name = self.line()?;
                    let value = named(&module, &name)?;
                    self.stack.push(value);
                }
                0x93 => {
                    let (name, module) = (self.pop_str()?, self.pop_str()?);
                    let value = named(&module, &name)?;
                    self.stack.push(value);
                }
                b'Q' => self.persistent_id()?,
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                other => {
                    return Err(format!(
                        "instruction {other:#04x} is not one that a file of tensors needs"
                    ));
                }
            }
        }
    }

    fn take(&mut self, count: usize) -> Step<&[u8]> {
        let end = self.position.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or("the pickle ends in the middle of an instruction")?;
        let taken = &self.bytes[self.position..end];
        self.position = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Step<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn length<const N: usize>(&mut self) -> Step<usize> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.array::<N>()?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| "a length is too large".to_owned())
    }

    fn line(&mut self) -> Step<String> {
        let rest = &self.bytes[self.position..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or("a name has no end")?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.position += length + 1;
        Ok(line)
    }

    fn protocol(&mut self) -> Step<()> {
        match self.byte()? {
            2..=5 => Ok(()),
            other => Err(format!("pickle protocol {other}, of which 2 to 5 are understood")),
        }
    }

    fn string<const N: usize>(&mut self) -> Step<()> {
        let length = self.length::<N>()?;
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| "a string is not UTF-8")?;
        let text = Rc::from(text);
        self.stack.push(Value::Str(text));
        Ok(())
    }

    fn opaque_bytes<const N: usize>(&mut self) -> Step<()> {
        let length = self.length::<N>()?;
        self.take(length)?;
        self.stack.push(Value::Bytes);
        Ok(())
    }

    fn long(&mut self) -> Step<()> {
        let length = usize::from(self.byte()?);
        let bytes = self.take(length)?;
        if bytes.len() > 8 {
            return Err("an integer has more than 64 bits".into());
        }
        // Little-endian two's complement of any width: extend the sign.
        let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        self.stack.push(Value::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn pop(&mut self) -> Step<Value> {
        // What lies below a mark belongs to an unfinished tuple, list or dictionary.
        if self.marks.last().is_some_and(|&mark| self.stack.len() <= mark) {
            return Err("a value is missing".into());
        }
        self.stack.pop().ok_or_else(|| "a value is missing".into())
    }

    fn pop_str(&mut self) -> Step<Rc<str>> {
        match self.pop()? {
            Value::Str(text) => Ok(text),
            _ => Err("a name is not a string".into()),
        }
    }

    fn pop_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        if mark > self.stack.len() {
            return Err("a mark is misplaced".into());
        }
        Ok(self.stack.split_off(mark))
    }

    fn duplicate(&mut self) -> Step<()> {
        let value = self.pop()?;
        self.stack.extend([value.clone(), value]);
        Ok(())
    }

    fn tuple(&mut self, count: usize) -> Step<()> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Step<Vec<_>>>()?;
        items.reverse();
        self.stack.push(Value::Tuple(items.into()));
        Ok(())
    }

    fn append(&mut self, items: Vec<Value>) -> Step<()> {
        match self.stack.last() {
            Some(&Value::List(list)) => {
                self.lists[list].extend(items);
                Ok(())
            }
            _ => Err("items are appended to something that is not a list".into()),
        }
    }

    fn new_dict(&mut self) {
        self.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.dicts.len() - 1));
    }

    fn set_items(&mut self, items: Vec<Value>) -> Step<()> {
        let Some(&Value::Dict(dict)) = self.stack.last() else {
            return Err("entries are set in something that is not a dictionary".into());
        };
        if !items.len().is_multiple_of(2) {
            return Err("a dictionary entry has no value".into());
        }
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            self.dicts[dict].push((key, value));
        }
        Ok(())
    }

    fn memoize(&mut self, slot: u64) -> Step<()> {
        let value = self.stack.last().ok_or("a value is missing")?.clone();
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, slot: u64) -> Step<()> {
        let value = self.memo.get(&slot).ok_or("an earlier value is missing")?.clone();
        self.stack.push(value);
        Ok(())
    }

    /// `('storage', StorageType, key, location, numel)`.
    fn persistent_id(&mut self) -> Step<()> {
        let id = self.pop()?;
        let storage = match &id {
            Value::Tuple(items) => match &items[..] {
                [
                    Value::Str(tag),
                    Value::StorageKind(kind),
                    Value::Str(key),
                    Value::Str(_),
                    Value::Int(numel),
                    ..,
                ] if &**tag == "storage" => {
                    let bytes = kind.map_or(1, |kind| kind.elt_size_in_bytes() as i64);
                    Storage { key: key.clone(), kind: *kind, bytes_each: bytes, numel: *numel }
                }
                _ => return Err("a storage is not described as torch.save does".into()),
            },
            _ => return Err("a storage is not described as torch.save does".into()),
        };
        self.stack.push(Value::Storage(Rc::new(storage)));
        Ok(())
    }

    fn reduce(&mut self) -> Step<()> {
        let Value::Tuple(arguments) = self.pop()? else {
            return Err("a call has no arguments".into());
        };
        let Value::Callable(callable) = self.pop()? else {
            return Err("it calls something that is not a function".into());
        };
        match (callable, &arguments[..]) {
            (Callable::OrderedDict, []) => self.new_dict(),
            (
                Callable::RebuildTensor,
                [
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(shape),
                    Value::Tuple(strides),
                    ..,
                ],
            ) => {
                let kind = storage.kind.ok_or("a tensor does not say what its numbers are")?;
                let kind = ElementKind::Known(kind);
                self.push_tensor(storage, kind, *offset, [shape, strides])?;
            }
            (
                Callable::RebuildTensorOfKind,
                [
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(shape),
                    Value::Tuple(strides),
                    _,
                    _,
                    Value::ElementKind(kind),
                    ..,
                ],
            ) => self.push_tensor(storage, kind.clone(), *offset, [shape, strides])?,
            (Callable::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => {
                self.stack.push(tensor.clone());
            }
            _ => {
                return Err(format!(
                    "{callable:?} is called with arguments torch.save does not write"
                ));
            }
        }
        Ok(())
    }

    fn push_tensor(
        &mut self,
        storage: &Rc<Storage>,
        kind: ElementKind,
        offset: i64,
        [shape, strides]: [&[Value]; 2],
    ) -> Step<()> {
        let (storage, shape, strides) = (storage.clone(), integers(shape)?, integers(strides)?);
        let tensor = PickledTensor { storage, kind, offset, shape, strides };
        self.stack.push(Value::Tensor(Rc::new(tensor)));
        Ok(())
    }

    /// Attributes set on an object: torch puts `_metadata` on a state dict. They carry no tensors.
    fn build(&mut self) -> Step<()> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_)) => Ok(()),
            _ => Err("it sets the state of an object that is not a dictionary".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(bytes: &[u8]) -> String {
        Pickle::read(bytes).unwrap_err()
    }

    #[test]
    fn a_call_of_anything_else_is_refused_by_name() {
        // pickle.dumps of an object whose __reduce__ is (os.system, ("…",)), protocol 2 and 4.
        let two = b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03.";
        assert!(problem(two).contains("posix.system"));
        let four = b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.";
        assert!(problem(four).contains("posix.system"));
    }

    #[test]
    fn negative_and_empty_longs() {
        for (bytes, expected) in [
            (&b"\x80\x02\x8a\x00."[..], 0),
            (b"\x80\x02\x8a\x01\xff.", -1),
            (b"\x80\x02\x8a\x02\x00\x80.", -32768),
        ] {
            let pickle = Pickle::read(bytes).unwrap();
            assert!(matches!(pickle.root, Value::Int(value) if value == expected));
        }
    }

    #[test]
    fn a_dictionary_filled_after_it_was_remembered_keeps_its_entries() {
        // d = {}; memo 0 = d; d["a"] = 1; return memo 0
        let pickle = Pickle::read(b"\x80\x02}q\x00X\x01\x00\x00\x00aK\x01s0h\x00.").unwrap();
        let Value::Dict(dict) = pickle.root else { panic!("not a dictionary") };
        assert_eq!(pickle.entries(dict).len(), 1);
    }

    #[test]
    fn truncation_anywhere_is_an_error() {
        let whole = b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00bK\x02u.";
        assert!(Pickle::read(whole).is_ok());
        for end in 0..whole.len() {
            assert!(Pickle::read(&whole[..end]).is_err(), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Pickle::read(&bytes);
        }

        #[test]
        fn a_damaged_pickle_ends_without_a_panic(at in 0usize..50, byte in any::<u8>()) {
            let mut bytes = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00bK\x02u.".to_vec();
            if let Some(target) = bytes.get_mut(at) {
                *target = byte;
            }
            let _ = Pickle::read(&bytes);
        }
    }
}
