"""Makes the certificates and keys that files are signed with in tests: worth nothing anywhere else.

    python make.py FOLDER

needs the package `cryptography` (48 was used). One root signs an intermediate, and that the signers: a chain
`NAME.pem` (signer, then intermediate) and its key `NAME.key` for each kind of key that C2PA knows; besides, what
is refused, and `time.pem`, `time.key`: an authority for times, by a root of its own, `time-root.pem`. All are valid
until 2120, but those that are to be expired. Every run makes other keys: `outlived.py` goes after it.
"""

import datetime
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BEGIN = datetime.datetime(2025, 1, 1)
END = datetime.datetime(2120, 1, 1)
PEM = serialization.Encoding.PEM


def name(words):
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Wan-Alpha Tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, words),
        ]
    )


def certificate(words, key, issuer, issuer_key, *, authority=False, end=END, times=False):
    """Of `key`, by `issuer` (a certificate, or none: by itself); for an authority that issues, or says times."""
    made = (
        x509.CertificateBuilder()
        .subject_name(name(words))
        .issuer_name(issuer.subject if issuer else name(words))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority,
                key_cert_sign=authority,
                crl_sign=authority,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if not authority:
        use = ExtendedKeyUsageOID.TIME_STAMPING if times else ExtendedKeyUsageOID.EMAIL_PROTECTION
        made = made.add_extension(x509.ExtendedKeyUsage([use]), critical=times)
    digest = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return made.sign(issuer_key, digest)


def write_key(path, key, password=None):
    kept = serialization.NoEncryption()
    if password:
        kept = serialization.BestAvailableEncryption(password)
    path.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, kept))


def main(folder):
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = certificate("Root", root_key, None, root_key, authority=True)
    middle_key = ec.generate_private_key(ec.SECP256R1())
    middle = certificate("Intermediate", middle_key, root, root_key, authority=True)
    (folder / "root.pem").write_bytes(root.public_bytes(PEM))
    keys = {
        "es256": ec.generate_private_key(ec.SECP256R1()),
        "es384": ec.generate_private_key(ec.SECP384R1()),
        "es512": ec.generate_private_key(ec.SECP521R1()),
        "ps256": rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        # What is refused: a curve that C2PA has not.
        "koblitz": ec.generate_private_key(ec.SECP256K1()),
    }
    chains = {}
    for kind, key in keys.items():
        signer = certificate(f"Signer {kind}", key, middle, middle_key)
        chains[kind] = [signer, middle]
        write_key(folder / f"{kind}.key", key)
    key = keys["es256"]
    write_key(folder / "encrypted.key", key, b"secret")
    # As older programs write it.
    older = serialization.PrivateFormat.TraditionalOpenSSL
    older = key.private_bytes(PEM, older, serialization.NoEncryption())
    (folder / "sec1.key").write_bytes(older)
    older = serialization.PrivateFormat.TraditionalOpenSSL
    older = key.private_bytes(PEM, older, serialization.BestAvailableEncryption(b"secret"))
    (folder / "encrypted-older.key").write_bytes(older)
    # Of the same kind, and no certificate's.
    write_key(folder / "other.key", ec.generate_private_key(ec.SECP256R1()))
    expired = datetime.datetime(2025, 6, 1)
    chains["expired"] = [certificate("Expired", key, middle, middle_key, end=expired), middle]
    chains["self-signed"] = [certificate("Self", key, None, key)]
    chains["wrong-order"] = chains["es256"][::-1]
    time_root_key = ec.generate_private_key(ec.SECP256R1())
    time_root = certificate("Time root", time_root_key, None, time_root_key, authority=True)
    (folder / "time-root.pem").write_bytes(time_root.public_bytes(PEM))
    time_key = ec.generate_private_key(ec.SECP256R1())
    chains["time"] = [certificate("Time", time_key, time_root, time_root_key, times=True)]
    write_key(folder / "time.key", time_key)
    for kind, chain in chains.items():
        (folder / f"{kind}.pem").write_bytes(b"".join(one.public_bytes(PEM) for one in chain))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
