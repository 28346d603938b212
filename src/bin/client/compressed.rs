//! Files that are compressed, as logs are that were rotated.

use std::path::Path;

use anyhow::bail;

/// How a compressed file begins, what compressed it, and what unpacks it.
const KINDS: [(&[u8], &str, &str); 4] = [
    (&[0x1f, 0x8b], "gzip", "zcat"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "zstdcat"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "xz", "xzcat"),
    (b"BZh", "bzip2", "bzcat"),
];

/// Checks that a file which begins with these bytes is not compressed.
///
/// # Errors
/// It is. The error says how this command, such as `client log -`, reads it all the same.
pub(crate) fn refuse(path: &Path, start: &[u8], command: &str) -> anyhow::Result<()> {
    let Some((_, kind, unpack)) = KINDS.iter().find(|it| start.starts_with(it.0)) else {
        return Ok(());
    };
    match path.to_str() {
        Some("-") => bail!("standard input is compressed with {kind}: unpack it with {unpack}"),
        _ => {
            let file = path.display();
            bail!("{file} is compressed with {kind}: try `{unpack} {file} | {command}`")
        }
    }
}
