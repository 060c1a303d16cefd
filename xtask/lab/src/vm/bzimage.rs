//! Takes the plain kernel out of a bzImage: QEMU starts it through PVH, which saves the seconds
//! that unpacking takes under emulation.

use anyhow::{Context, Result, bail};
use std::io::Write;
use std::process::{Command, Stdio};

/// Offsets of the setup header, see Documentation/arch/x86/boot.rst of the kernel.
const SETUP_SECTORS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

/// The ELF file inside.
///
/// # Errors
///
/// When this is no bzImage, or packed in a way not known here.
pub(super) fn vmlinux(image: &[u8]) -> Result<Vec<u8>> {
    let kernel = unpack(payload(image)?)?;
    if !kernel.starts_with(b"\x7fELF") {
        bail!("the kernel image does not hold an ELF file");
    }
    Ok(kernel)
}

fn payload(image: &[u8]) -> Result<&[u8]> {
    if image.get(MAGIC..MAGIC + 4) != Some(b"HdrS") {
        bail!("not a bzImage");
    }
    let sectors = match image.get(SETUP_SECTORS) {
        Some(0) | None => 4,
        Some(count) => usize::from(*count),
    };
    let start = ((sectors + 1) * 512).checked_add(number(image, PAYLOAD_OFFSET)?);
    let end = start.and_then(|start| start.checked_add(number(image, PAYLOAD_LENGTH).ok()?));
    // The last four bytes are the unpacked size, put there for the kernel's own unpacker.
    let range = start.zip(end.and_then(|end| end.checked_sub(4))).map(|(s, e)| s..e);
    range.and_then(|range| image.get(range)).context("a bzImage that is too short")
}

fn number(image: &[u8], at: usize) -> Result<usize> {
    let bytes = image.get(at..at + 4).and_then(|b| b.try_into().ok()).context("no setup header")?;
    Ok(usize::try_from(u32::from_le_bytes(bytes))?)
}

/// Unpacks what is packed with xz or zstd; anything else is returned as it is.
///
/// # Errors
///
/// When the unpacking program fails.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let program = match packed {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        _ => return Ok(packed.to_vec()),
    };
    let mut child = Command::new(program)
        .args(["-d", "-c", "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let mut stdin = child.stdin.take().context("no pipe")?;
    let output = std::thread::scope(|scope| {
        // Both directions at once, or both sides would wait for each other.
        let writer = scope.spawn(move || stdin.write_all(packed));
        let output = child.wait_with_output();
        // A write error shows as the program's own failure.
        drop(writer.join());
        output
    })?;
    if !output.status.success() {
        bail!("{program} could not unpack: {}", output.status);
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(content: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[SETUP_SECTORS] = 1;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&8_u32.to_le_bytes());
        let length = u32::try_from(content.len() + 4).unwrap();
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend_from_slice(&[0xee; 8]);
        image.extend_from_slice(content);
        image.extend_from_slice(&[0xdd; 4]);
        image
    }

    #[test]
    fn the_payload_is_cut_out_exactly() {
        assert_eq!(vmlinux(&image(b"\x7fELF kernel")).unwrap(), b"\x7fELF kernel");
        assert!(vmlinux(&image(b"MZ")).is_err());
        assert!(vmlinux(b"\x7fELF").is_err());
        let mut short = image(b"\x7fELF kernel");
        short.truncate(1034);
        assert!(vmlinux(&short).is_err());
    }

    #[test]
    fn packed_data_is_unpacked() {
        let mut xz = Command::new("sh");
        let xz = xz.args(["-c", "printf hello | xz -c"]).output().unwrap().stdout;
        assert_eq!(unpack(&xz).unwrap(), b"hello");
        assert_eq!(unpack(b"plain").unwrap(), b"plain");
        assert!(unpack(b"\x28\xb5\x2f\xfd nonsense").is_err());
    }
}
