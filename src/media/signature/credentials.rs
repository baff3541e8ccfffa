//! The certificates and the key that a person signs with: of which kind they are, and whether they belong
//! together, said in words before anything is made.
//!
//! Whether a certificate may sign, and whether it is still valid, is the library's to say.
#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use data_encoding::BASE64;

use super::der::{CONTEXT_0, DerReader, INTEGER, OBJECT};
use super::library::SignerTexts;

/// A kind of key that signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    P256,
    P384,
    P521,
    Ed25519,
    Rsa,
    /// None that C2PA knows.
    Other,
}

/// The object identifiers of algorithms and curves, as DER has them.
const ELLIPTIC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];

impl KeyKind {
    /// Of an `AlgorithmIdentifier`, in front of which `reader` stands.
    fn read(reader: &mut DerReader<'_>) -> Option<Self> {
        let mut algorithm = reader.sequence()?;
        Some(match algorithm.expect(OBJECT)?.content {
            ED25519 => Self::Ed25519,
            RSA | RSA_PSS => Self::Rsa,
            ELLIPTIC => match algorithm.expect(OBJECT).map(|curve| curve.content) {
                Some(P256) => Self::P256,
                Some(P384) => Self::P384,
                Some(P521) => Self::P521,
                _ => Self::Other,
            },
            _ => Self::Other,
        })
    }

    /// How it signs, in C2PA's words; none that C2PA has not.
    const fn algorithm(self) -> Option<&'static str> {
        Some(match self {
            Self::P256 => "es256",
            Self::P384 => "es384",
            Self::P521 => "es512",
            Self::Ed25519 => "ed25519",
            Self::Rsa => "ps256",
            Self::Other => return None,
        })
    }

    const fn words(self) -> &'static str {
        match self {
            Self::P256 => "elliptic, P-256 (es256)",
            Self::P384 => "elliptic, P-384 (es384)",
            Self::P521 => "elliptic, P-521 (es512)",
            Self::Ed25519 => "Ed25519",
            Self::Rsa => "RSA (ps256)",
            Self::Other => "of another kind",
        }
    }
}

/// A block of a PEM file: what it says that it is, and its bytes.
struct PemBlock {
    label: String,
    bytes: Vec<u8>,
}

fn pem_blocks(text: &str) -> Result<Vec<PemBlock>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let label = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let Some(label) = label else { continue };
        let end = format!("-----END {label}-----");
        let mut body = String::new();
        loop {
            let line =
                lines.next().with_context(|| format!("`{end}` is missing: it is cut off"))?;
            if line == end {
                break;
            }
            // Older encrypted keys have lines such as `Proc-Type: 4,ENCRYPTED`.
            if line.starts_with("Proc-Type:") && line.ends_with("ENCRYPTED") {
                bail!("{ENCRYPTED}");
            }
            if !line.contains(':') {
                body.push_str(line);
            }
        }
        let bytes = BASE64.decode(body.as_bytes());
        let bytes = bytes.with_context(|| format!("what it holds as {label} is no base64"))?;
        blocks.push(PemBlock { label: label.to_owned(), bytes });
    }
    Ok(blocks)
}

const ENCRYPTED: &str = "the key is encrypted, and no password is asked for here: write it anew without one, \
     `openssl pkcs8 -in KEY -out NEW -topk8 -nocrypt`, and keep the new file where only you can read it";

/// What is looked at in a certificate: who issued it to whom, as DER, and the kind of its key.
struct CertificateParts<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    key: KeyKind,
}

fn certificate(bytes: &[u8]) -> Option<CertificateParts<'_>> {
    let mut to_be_signed = DerReader(bytes).sequence()?.sequence()?;
    let mut after_version = to_be_signed;
    if after_version.next()?.tag == CONTEXT_0 {
        to_be_signed = after_version;
    }
    to_be_signed.expect(INTEGER)?;
    let _signature = to_be_signed.sequence()?;
    let issuer = to_be_signed.next()?.whole;
    let _validity = to_be_signed.sequence()?;
    let subject = to_be_signed.next()?.whole;
    let key = KeyKind::read(&mut to_be_signed.sequence()?)?;
    Some(CertificateParts { issuer, subject, key })
}

/// The kind of key that a file of certificates is for, the signer's own first.
fn kind_of_chain(text: &str) -> Result<KeyKind> {
    let blocks = pem_blocks(text)?;
    let mut chain = Vec::new();
    for block in &blocks {
        ensure!(
            block.label == "CERTIFICATE",
            "it holds a {}, expected certificates alone: the signer's own, then who issued it",
            block.label
        );
        let place = chain.len() + 1;
        let read = certificate(&block.bytes);
        chain.push(read.with_context(|| format!("certificate {place} in it is none of X.509"))?);
    }
    let [signer, ..] = &chain[..] else {
        bail!(
            "it holds no certificate; expected PEM, blocks from `-----BEGIN CERTIFICATE-----` on"
        );
    };
    for (place, pair) in chain.windows(2).enumerate() {
        let [one, next] = pair else { continue };
        ensure!(
            one.issuer == next.subject,
            "its certificates are not in order: {} is not of who issued {}. Expected the signer's own first, \
             then who issued that, and so on",
            place + 2,
            place + 1
        );
    }
    ensure!(
        signer.key != KeyKind::Other,
        "the key of its first certificate is of a kind that C2PA does not know; expected RSA, Ed25519, or \
         elliptic over P-256, P-384 or P-521"
    );
    Ok(signer.key)
}

/// The kind of a key.
fn kind_of_key(text: &str) -> Result<KeyKind> {
    let blocks = pem_blocks(text)?;
    let block = blocks.iter().find(|block| block.label.ends_with("PRIVATE KEY"));
    let Some(block) = block else {
        bail!("it holds no key; expected PEM, `-----BEGIN PRIVATE KEY-----`");
    };
    match block.label.as_str() {
        "PRIVATE KEY" => {}
        "ENCRYPTED PRIVATE KEY" => bail!("{ENCRYPTED}"),
        older => bail!(
            "the key is in an older form ({older}); expected PKCS#8 (PRIVATE KEY): \
             `openssl pkcs8 -in KEY -out NEW -topk8 -nocrypt` writes it so"
        ),
    }
    let read = || {
        let mut key = DerReader(&block.bytes).sequence()?;
        key.expect(INTEGER)?;
        KeyKind::read(&mut key)
    };
    read().context("the key in it is none of PKCS#8")
}

/// Reads certificates and key, and looks whether they belong together.
///
/// # Errors
/// Which file cannot be used, and why; the kinds of their keys differ.
pub(super) fn read(chain: &Path, key: &Path, authority: Option<&str>) -> Result<SignerTexts> {
    let text = |flag: &str, path: &Path| {
        std::fs::read_to_string(path)
            .with_context(|| format!("{flag} {} cannot be read", path.display()))
    };
    let (chain_text, key_text) = (text("--sign", chain)?, text("--key", key)?);
    let wanted =
        kind_of_chain(&chain_text).with_context(|| format!("--sign {}", chain.display()))?;
    let found = kind_of_key(&key_text).with_context(|| format!("--key {}", key.display()))?;
    ensure!(
        wanted == found,
        "--key {} is not the key of the certificate in {}: that one's is {}, this one is {}",
        key.display(),
        chain.display(),
        wanted.words(),
        found.words()
    );
    let algorithm = wanted.algorithm().context("a kind of key that C2PA does not know")?;
    let time_authority = authority.map(str::to_owned);
    Ok(SignerTexts { algorithm, chain: chain_text, key: key_text, time_authority })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn data(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/signing").join(name)
    }

    fn refusal(chain: &str, key: &str) -> String {
        format!("{:#}", read(&data(chain), &data(key), None).err().unwrap())
    }

    #[test]
    fn each_kind_of_key_is_known_by_its_certificate() {
        for kind in ["es256", "es384", "es512", "ps256", "ed25519"] {
            let files = [data(&format!("{kind}.pem")), data(&format!("{kind}.key"))];
            let read = read(&files[0], &files[1], Some("https://time.example")).unwrap();
            assert_eq!(read.algorithm, kind);
            assert_eq!(read.time_authority.as_deref(), Some("https://time.example"));
        }
    }

    #[test]
    fn what_cannot_sign_is_told_with_what_was_expected() {
        for (chain, key, words) in [
            ("es256.pem", "es384.key", "is elliptic, P-256 (es256), this one is elliptic, P-384"),
            ("ps256.pem", "ed25519.key", "that one's is RSA (ps256), this one is Ed25519"),
            ("es256.pem", "encrypted.key", "the key is encrypted"),
            ("es256.pem", "encrypted-older.key", "the key is encrypted"),
            ("es256.pem", "sec1.key", "older form (EC PRIVATE KEY); expected PKCS#8"),
            ("es256.pem", "es256.pem", "it holds no key"),
            ("es256.key", "es256.key", "it holds a PRIVATE KEY, expected certificates alone"),
            ("wrong-order.pem", "es256.key", "not in order: 2 is not of who issued 1"),
            ("koblitz.pem", "koblitz.key", "a kind that C2PA does not know"),
            ("make.py", "es256.key", "it holds no certificate"),
            ("absent.pem", "es256.key", "absent.pem cannot be read"),
        ] {
            let told = refusal(chain, key);
            assert!(told.contains(words), "{chain}, {key}: {told}");
        }
    }

    #[test]
    fn what_is_cut_off_or_scrambled_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pem");
        let whole = std::fs::read_to_string(data("es256.pem")).unwrap();
        for end in (1..whole.find("-----END").unwrap()).step_by(7) {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(read(&path, &data("es256.key"), None).is_err(), "{end}");
        }
        let bytes = pem_blocks(&whole).unwrap().remove(0).bytes;
        for end in 0..bytes.len().min(300) {
            assert!(certificate(&bytes[..end]).is_none(), "{end}");
        }
    }
}
