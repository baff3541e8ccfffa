"""Signs a frame with a certificate that runs out half a minute later, and a time by the authority of `make.py`.

    python outlived.py FOLDER WAN_ALPHA

writes `outlived.png`, and `outlived-root.pem`, which vouches for its signer. Needs the package `cryptography`,
OpenSSL's program, a library for C2PA and the program `wan-alpha`.
"""

import datetime
import http.server
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

from cryptography.hazmat.primitives.asymmetric import ec

from make import PEM, certificate, write_key


def authority(folder, work):
    """Answers who asks for the time, at the address that it returns."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            (work / "asked.tsq").write_bytes(asked)
            words = ["openssl", "ts", "-reply", "-config", folder / "authority.cnf"]
            words += ["-queryfile", "asked.tsq", "-signer", folder / "time.pem"]
            words += ["-inkey", folder / "time.key", "-out", "said.tsr"]
            subprocess.run(words, cwd=work, check=True, capture_output=True)
            said = (work / "said.tsr").read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

    (work / "serial").write_text("01")
    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def main(folder, program):
    work = pathlib.Path(tempfile.mkdtemp())
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = certificate("Outlived root", root_key, None, root_key, authority=True)
    key = ec.generate_private_key(ec.SECP256R1())
    address = authority(folder, work)
    end = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(seconds=30)
    signer = certificate("Outlived", key, root, root_key, end=end)
    (work / "outlived.pem").write_bytes(signer.public_bytes(PEM))
    write_key(work / "outlived.key", key)
    words = [program, "render", "--prompt", "a red ball", "--width", "64", "--height", "64", "--frames", "1"]
    words += ["--steps", "1", "--no-store", "--no-recipe", "--format", "png", "--out", work / "out"]
    words += ["--sign", work / "outlived.pem", "--key", work / "outlived.key", "--tsa", address]
    subprocess.run(words, check=True)
    shutil.copy(work / "out/rgba.0000.png", folder / "outlived.png")
    (folder / "outlived-root.pem").write_bytes(root.public_bytes(PEM))
    shutil.rmtree(work)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), sys.argv[2])
