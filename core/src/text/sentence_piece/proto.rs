//! The protocol buffer that a `spiece.model` is: the few fields that matter here, the others passed over.
//!
//! ProtoFields and numbers as in `sentencepiece_model.proto` of SentencePiece 0.2.

use super::{ParsedModel, PieceKind, Pieces};

/// The algorithm that trainers number so.
const UNIGRAM: u64 = 1;
/// Pieces that a model has at most; umT5's has 256,384.
const MOST_PIECES: usize = 1 << 21;

/// Reads a model.
///
/// # Errors
/// It is damaged, or of another algorithm.
pub(super) fn read(bytes: &[u8]) -> ParsedModel<Pieces> {
    let mut found = Pieces {
        pieces: Vec::new(),
        byte_fallback: false,
        charsmap: Vec::new(),
        lacks_map: false,
        adds_prefix: true,
        removes_blanks: true,
    };
    let mut fields = ProtoFields(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(piece)) if found.pieces.len() < MOST_PIECES => {
                found.pieces.push(read_piece(piece)?);
            }
            (1, _) => return Err("it is no list of pieces".to_owned()),
            (2, Value::Bytes(trainer)) => read_trainer(trainer, &mut found)?,
            (3, Value::Bytes(normalizer)) => read_normalizer(normalizer, &mut found)?,
            _ => {}
        }
    }
    if found.pieces.is_empty() {
        return Err("it has no pieces".to_owned());
    }
    Ok(found)
}

fn read_piece(bytes: &[u8]) -> ParsedModel<(String, f32, PieceKind)> {
    let (mut piece, mut score, mut kind) = (String::new(), 0.0, PieceKind::Normal);
    let mut fields = ProtoFields(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(text)) => {
                let text = std::str::from_utf8(text).map_err(|_| "a piece is not UTF-8")?;
                text.clone_into(&mut piece);
            }
            (2, Value::Four(bits)) => score = f32::from_le_bytes(bits),
            (3, Value::Number(number)) => {
                kind = PieceKind::of(i64::try_from(number).unwrap_or(i64::MAX))?;
            }
            _ => {}
        }
    }
    Ok((piece, score, kind))
}

fn read_trainer(bytes: &[u8], found: &mut Pieces) -> ParsedModel<()> {
    let mut fields = ProtoFields(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (3, Value::Number(UNIGRAM)) => {}
            (3, Value::Number(other)) => {
                return Err(format!("its algorithm is number {other}, expected unigram (1)"));
            }
            (24, Value::Number(1)) => return Err("its words end with their blank".to_owned()),
            (35, Value::Number(yes)) => found.byte_fallback = yes != 0,
            _ => {}
        }
    }
    Ok(())
}

fn read_normalizer(bytes: &[u8], found: &mut Pieces) -> ParsedModel<()> {
    let mut fields = ProtoFields(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (2, Value::Bytes(map)) => map.clone_into(&mut found.charsmap),
            (3, Value::Number(yes)) => found.adds_prefix = yes != 0,
            (4, Value::Number(yes)) => found.removes_blanks = yes != 0,
            (5, Value::Number(0)) => return Err("its blanks are not marked".to_owned()),
            _ => {}
        }
    }
    Ok(())
}

/// The value of a field.
enum Value<'a> {
    Number(u64),
    Four([u8; 4]),
    /// Eight bytes, of which nothing here is made.
    Eight,
    Bytes(&'a [u8]),
}

/// The fields of a message that have not been read yet.
struct ProtoFields<'a>(&'a [u8]);

impl<'a> ProtoFields<'a> {
    /// The next field: its number and value.
    fn next(&mut self) -> ParsedModel<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => self.bytes(8).map(|_| Value::Eight)?,
            2 => {
                let length = self.number()?;
                Value::Bytes(self.bytes(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => Value::Four(self.bytes(4)?.try_into().map_err(|_| CUT_OFF)?),
            _ => return Err("it is no protocol buffer".to_owned()),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn bytes(&mut self, count: usize) -> ParsedModel<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(CUT_OFF)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A number of seven bits a byte, the least first.
    fn number(&mut self) -> ParsedModel<u64> {
        let mut number = 0;
        for place in 0..10 {
            let byte = self.bytes(1)?[0];
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("it is no protocol buffer".to_owned())
    }
}

const CUT_OFF: &str = "it is cut off";
