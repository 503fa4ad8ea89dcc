"""Certificates that are good for two days, as openssl makes them."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make(home: Path) -> None:
    """`server` for localhost and `client` for agent.example.com, both signed by `ca`.

    And `stranger`, which is signed by nobody, and `locked.key`, which has a password.
    """

    def openssl(command: str) -> None:
        subprocess.run(["openssl", *command.split()], cwd=home, check=True, capture_output=True)

    key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    for name in ("ca", "stranger"):
        made = f"-keyout {name}.key -out {name}.pem -addext keyUsage=critical,keyCertSign"
        openssl(f"req -x509 {key} -days 2 -subj /CN={name} {made}")
    for name, bears in (("server", "DNS:localhost"), ("client", "DNS:agent.example.com")):
        (home / "ext").write_text(f"subjectAltName={bears}\nauthorityKeyIdentifier=keyid\n")
        openssl(f"req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr")
        signed = "-CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -days 2"
        openssl(f"x509 -req -in {name}.csr {signed} -out {name}.pem")
    openssl("ec -aes256 -passout pass:x -in client.key -out locked.key")
