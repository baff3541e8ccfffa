//! What lies under the name of a file of weights, where it is none.

#![forbid(unsafe_code)]

/// What the first bytes of a file say that is no file of tensors, and what to do; nothing where they
/// say nothing.
pub(super) fn said_by(head: &[u8]) -> Option<&'static str> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |with: &str| {
        text.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with.as_bytes()))
    };
    Some(if begins("version https://git-lfs") {
        "a pointer of Git LFS, not the file itself: run `git lfs pull` in its repository, or download \
         the file by itself"
    } else if ["<!doctype", "<html", "<head", "<?xml"].iter().any(|tag| begins(tag)) {
        "a web page, not weights: the server has sent it in place of the file, perhaps to sign in or to \
         accept a license; do that in a browser, then download the file again"
    } else if head.starts_with(b"\x1f\x8b")
        || head.starts_with(b"7z\xbc\xaf\x27\x1c")
        || head.starts_with(b"Rar!")
        || head.starts_with(b"\xfd7zXZ")
        || head.starts_with(b"\x28\xb5\x2f\xfd")
    {
        "a compressed archive, not weights: unpack it"
    } else if let [0x80, 2..=5, ..] = head {
        "a torch.save file of the old form, before PyTorch 1.6; load it in PyTorch and save it again"
    } else if let Some(kind) = picture(head) {
        kind
    } else if begins("{\"error") || begins("{\"message") || begins("Entry not found") {
        "a server's message, not weights: it was sent in place of the file; download it again"
    } else {
        return None;
    })
}

/// What a picture or a movie begins with, and that it is one.
fn picture(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"\x89PNG\r\n") {
        return Some("a PNG picture, which holds no tensors: name another file");
    }
    if head.starts_with(b"\x76\x2f\x31\x01") {
        return Some("an EXR picture, which holds no tensors: name another file");
    }
    if head.starts_with(b"\xff\xd8\xff") || head.starts_with(b"GIF8") {
        return Some("a picture, which holds no tensors: name another file");
    }
    let movie = head.get(4..8) == Some(b"ftyp") || head.starts_with(b"\x1a\x45\xdf\xa3");
    movie.then_some("a movie, which holds no tensors: name another file")
}

#[cfg(test)]
mod tests {
    use super::said_by;

    #[test]
    fn what_is_no_weights_is_named() {
        for (head, words) in [
            (&b"version https://git-lfs.github.com/spec/v1\noid"[..], "git lfs pull"),
            (b"\xef\xbb\xbf\n <!DOCTYPE html>", "web page"),
            (b"\x1f\x8b\x08", "unpack"),
            (b"\x80\x02}q\x00.", "old form"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture"),
            (b"\x76\x2f\x31\x01\x02\0\0\0", "an EXR picture"),
            (b"\0\0\0\x20ftypisom", "a movie"),
        ] {
            assert!(said_by(head).is_some_and(|said| said.contains(words)), "{head:?}");
        }
        for head in [&b""[..], b"\x08\0\0\0\0\0\0\0{}", b"GGUF", b"PK\x03\x04", b"\x80"] {
            assert_eq!(said_by(head), None, "{head:?}");
        }
    }
}
