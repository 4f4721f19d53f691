//! Certificates for tests, made by the `openssl` command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A folder with an authority, and what it has signed.
pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// An authority with its files in `folder`.
    pub fn new(folder: &Path) -> Authority {
        std::fs::create_dir_all(folder).unwrap();
        let authority = Authority {
            folder: folder.to_owned(),
        };
        authority.openssl(&format!(
            "req -x509 -nodes {KEY} -keyout ca.key -out ca.crt -subj /CN=authority -days 2"
        ));
        authority
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Signs `NAME.crt` with `NAME.key` for these alternative names, as in `DNS:localhost`.
    pub fn sign(&self, name: &str, alternatives: &str) {
        std::fs::write(self.file("names"), format!("subjectAltName={alternatives}")).unwrap();
        self.openssl(&format!(
            "req -new -nodes {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {name}.crt \
             -days 2 -extfile names"
        ));
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command
            .args(arguments.split_whitespace())
            .current_dir(&self.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let output = command
            .output()
            .expect("`openssl` is installed; ./check does it");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
    }
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";
