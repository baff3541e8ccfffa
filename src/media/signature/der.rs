//! As much of DER as says of which kind a certificate or a key is: elements, one after the other.
#![forbid(unsafe_code)]

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// Of a certificate's version, which may be left out.
pub(super) const CONTEXT_0: u8 = 0xa0;

/// Elements that are still to be read.
#[derive(Clone, Copy)]
pub(super) struct DerReader<'a>(pub(super) &'a [u8]);

/// One element: its kind, and what it is made of.
#[derive(Clone, Copy)]
pub(super) struct DerElement<'a> {
    pub(super) tag: u8,
    /// What is in it.
    pub(super) content: &'a [u8],
    /// With its tag and its length.
    pub(super) whole: &'a [u8],
}

impl<'a> DerReader<'a> {
    /// The next element; none at the end, or where it is cut off.
    pub(super) fn next(&mut self) -> Option<DerElement<'a>> {
        let [tag, first, ..] = *self.0 else { return None };
        let (length, head) = match first {
            0..=0x7f => (usize::from(first), 2),
            // More than 4 bytes of length no certificate has.
            0x81..=0x84 => {
                let head = 2 + usize::from(first - 0x80);
                let bytes = self.0.get(2..head)?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), head)
            }
            _ => return None,
        };
        let end = head.checked_add(length)?;
        let whole = self.0.get(..end)?;
        self.0 = &self.0[end..];
        Some(DerElement { tag, content: &whole[head..], whole })
    }

    /// The next element, which must be of this kind.
    pub(super) fn expect(&mut self, tag: u8) -> Option<DerElement<'a>> {
        self.next().filter(|element| element.tag == tag)
    }

    /// Goes into the next element, which must be a sequence.
    pub(super) fn sequence(&mut self) -> Option<Self> {
        self.expect(SEQUENCE).map(|element| Self(element.content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_and_what_is_cut_off_is_none() {
        let long: Vec<u8> = [0x04, 0x82, 0x01, 0x00].into_iter().chain([7; 256]).collect();
        let mut reader = DerReader(&long);
        let element = reader.next().unwrap();
        assert_eq!((element.tag, element.content.len(), element.whole.len()), (4, 256, 260));
        assert!(reader.next().is_none());
        for cut in 0..long.len() {
            assert!(DerReader(&long[..cut]).next().is_none(), "{cut}");
        }
        for wrong in [[0x04, 0x80, 0, 0, 0, 0], [0x04, 0x85, 0, 0, 0, 0]] {
            assert!(DerReader(&wrong).next().is_none());
        }
        let huge = [0x04, 0x84, 0xff, 0xff, 0xff, 0xff];
        assert!(DerReader(&huge).next().is_none());
        let mut inside = DerReader(&[0x30, 3, 2, 1, 5]).sequence().unwrap();
        assert_eq!(inside.expect(INTEGER).unwrap().content, [5]);
        assert!(DerReader(&[0x30, 0]).expect(OBJECT).is_none());
    }
}
