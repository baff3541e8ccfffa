//! XMP packets and C2PA manifests of JPEG images.

use std::io::{Read, Seek, SeekFrom};

use anyhow::Result;

use super::{EmbeddedTexts, bytes};

pub(super) fn read(mut file: impl Read + Seek) -> Result<EmbeddedTexts> {
    const APP_1: u8 = 0xe1;
    const APP_11: u8 = 0xeb;
    const START_OF_SCAN: u8 = 0xda;
    const PACKET: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
    let mut found = EmbeddedTexts::of_kind("a JPEG image");
    file.seek(SeekFrom::Start(2))?;
    let mut head = [0; 4];
    while file.read_exact(&mut head).is_ok() {
        let [0xff, kind, high, low] = head else { break };
        let length = u64::from(u16::from_be_bytes([high, low]).max(2)) - 2;
        if kind == START_OF_SCAN {
            break;
        }
        let data = bytes(&mut file, length)?;
        if let (APP_1, Some(packet)) = (kind, data.strip_prefix(PACKET)) {
            found.add_packet(packet);
        }
        // JUMBF in segments of JPEG XT; C2PA names its box.
        found.has_c2pa |= kind == APP_11 && data.windows(4).any(|name| name == b"c2pa");
    }
    Ok(found)
}
