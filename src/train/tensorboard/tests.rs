use super::*;

/// A reader of its own of what the writer makes, which knows the format by its description alone.
struct Reader<'a>(&'a [u8]);

/// A field of a message: its number, and its bytes or number.
type Field<'a> = (u64, &'a [u8], u64);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (part, rest) = self.0.split_at(count);
        self.0 = rest;
        part
    }

    fn varint(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
        }
        panic!("a number of more than ten bytes");
    }

    fn fields(&mut self) -> Vec<Field<'a>> {
        let mut fields = Vec::new();
        while !self.0.is_empty() {
            let key = self.varint();
            let (bytes, number): (&[u8], u64) = match key & 7 {
                0 => (&[], self.varint()),
                1 => (self.take(8), 0),
                2 => {
                    let length = self.varint() as usize;
                    (self.take(length), 0)
                }
                5 => (self.take(4), 0),
                other => panic!("wire type {other}"),
            };
            fields.push((key >> 3, bytes, number));
        }
        fields
    }
}

/// Time, step, and tags with their values.
type ReadEvent = (f64, u64, Vec<(String, f32)>);

fn read(bytes: &[u8]) -> Vec<ReadEvent> {
    let mut reader = Reader(bytes);
    let mut events = Vec::new();
    while !reader.0.is_empty() {
        let length = reader.take(8);
        assert_eq!(reader.take(4), masked_crc(length).to_le_bytes());
        let content = reader.take(u64::from_le_bytes(length.try_into().unwrap()) as usize);
        assert_eq!(reader.take(4), masked_crc(content).to_le_bytes());
        let fields = Reader(content).fields();
        let of = |number: u64| fields.iter().find(|field| field.0 == number);
        let time = f64::from_le_bytes(of(1).unwrap().1.try_into().unwrap());
        let values = of(5).map(|field| Reader(field.1).fields()).unwrap_or_default();
        let scalars = values.into_iter().map(|(_, value, _)| {
            let value = Reader(value).fields();
            let number = f32::from_le_bytes(value[1].1.try_into().unwrap());
            (String::from_utf8(value[0].1.to_vec()).unwrap(), number)
        });
        events.push((time, of(2).unwrap().2, scalars.collect()));
    }
    events
}

#[test]
fn sums_are_those_of_the_format() {
    // The check value of CRC32C (RFC 3720, B.4, has others): of the digits 1 to 9.
    let unmasked = masked_crc(b"123456789").wrapping_sub(0xa282_ead8).rotate_left(15);
    assert_eq!(unmasked, 0xe306_9283);
    let zeros = masked_crc(&[0; 32]).wrapping_sub(0xa282_ead8).rotate_left(15);
    assert_eq!(zeros, 0x8a91_36aa);
}

#[test]
fn events_are_the_scalars_of_the_log_whether_it_goes_on_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        r#"{"step": 1, "total": 0.5, "losses": {"l1": 0.25}, "rate": 1e-4, "time": 1000.5,
            "gradient_norm": null, "seconds": 2.0}"#,
        r#"{"step": 1, "held_out": {"l1": 0.75, "total": 1.5}}"#,
        r#"{"step": 300, "total": 0.4, "losses": {"l1": 0.2}, "rate": 1e-4, "time": 1600.0,
            "gradient_norm": 3.0, "seconds": 2.0}"#,
    ];
    let lines: Vec<Line> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let path = EventFile::path(folder.path());
    let mut file = EventFile::of_log(path.clone(), &lines[..1]).unwrap();
    lines[1..].iter().for_each(|line| file.line(line).unwrap());
    let written = std::fs::read(&path).unwrap();
    let named = |of: &[(&str, f32)]| -> Vec<(String, f32)> {
        of.iter().map(|(tag, value)| ((*tag).to_owned(), *value)).collect()
    };
    let first = [
        ("training/l1", 0.25),
        ("training/total", 0.5),
        ("optimizer/rate", 1e-4),
        ("seconds_per_step", 2.0),
    ];
    let last = [
        ("training/l1", 0.2),
        ("training/total", 0.4),
        ("optimizer/rate", 1e-4),
        ("optimizer/gradient_norm", 3.0),
        ("seconds_per_step", 2.0),
    ];
    let expected = [
        (1000.5, 0, vec![]),
        (1000.5, 1, named(&first)),
        (1000.5, 1, named(&[("held_out/l1", 0.75), ("held_out/total", 1.5)])),
        (1600.0, 300, named(&last)),
    ];
    assert_eq!(read(&written), expected);
    // A run that goes on makes the same of its log.
    EventFile::of_log(path.clone(), &lines).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), written);
}
