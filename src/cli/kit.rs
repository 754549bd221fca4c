// SPDX-License-Identifier: MIT
//! The page of a recovery kit: all that somebody needs who has nothing but this page and the place
//! where the backups lie.

use crate::base::{Error, FileId, Kind, Result};
use crate::format::keyslot::Secret;
use crate::format::kit::{FIRST_LINE, key_lines};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use zeroize::Zeroizing;

/// What a page says beside the key.
pub struct Page<'p> {
    /// Where the repository is; never with a secret in it.
    pub address: &'p str,
    /// Its id.
    pub repository: FileId,
    /// The slot that the key opens.
    pub slot: FileId,
    /// The machine the page was made on.
    pub host: &'p str,
    /// The day.
    pub day: &'p str,
    /// The key.
    pub key: &'p [u8; 32],
}

/// The page, at most 80 columns wide and a sheet of paper long.
pub fn page(page: &Page<'_>) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(format!(
        "{FIRST_LINE}\n\n\
         Whoever has this page and can reach the repository reads all backups in it.\n\
         Print it or put it into a password manager; keep it off the server.\n\n\
         Repository  {}\n\
         Its id      {}\n\
         Made        {} on {}, as key {}\n\n\
         The key. Spaces and capitals do not matter; the last two digits check a line.\n\n",
        page.address,
        page.repository.short(),
        page.day,
        page.host,
        page.slot.short(),
    ));
    for line in key_lines(page.key) {
        text.push_str("    ");
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str("\nThe same as a picture; it holds the text of a key file.\n\n");
    text.push_str(&picture(page.key)?);
    text.push_str(
        "\n\
         To get everything back, on a new machine:\n\
         1. Install Ghostsnap. For S3, Azure or SSH have the access to the store ready:\n   \
            it is not on this page.\n\
         2. Type the first line and the four lines of the key into a file kit.txt,\n   \
            or scan the picture into it. chmod 600 kit.txt\n\
         3. ghostsnap key test kit.txt -r ADDRESS, with the address above\n\
         4. ghostsnap snapshots -r ADDRESS --key-file kit.txt\n\
         The guide: docs/disaster-recovery.md, /usr/share/doc/ghostsnap\n",
    );
    Ok(text)
}

/// The text of a key file as a QR code, dark on light when it is printed.
fn picture(key: &[u8; 32]) -> Result<Zeroizing<String>> {
    let text = Secret::key_file_text(key);
    let code =
        QrCode::with_error_correction_level(text.as_bytes(), EcLevel::M).map_err(|error| {
            Error::new(Kind::Internal, "draw the key as a picture").why(error.to_string())
        })?;
    let drawn = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Dark)
        .light_color(Dense1x2::Light)
        .quiet_zone(true)
        .build();
    Ok(Zeroizing::new(drawn + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_fits_on_paper_and_opens_what_it_says() {
        let key = *blake3::hash(b"kit").as_bytes();
        let made = page(&Page {
            address: "s3:https://s3.eu-central-1.example.com/backups/server1",
            repository: FileId([1; 32]),
            slot: FileId([2; 32]),
            host: "server1.example.com",
            day: "2026-01-02",
            key: &key,
        })
        .unwrap();
        assert!(made.lines().all(|line| line.chars().count() <= 80), "{}", *made);
        assert!(made.lines().count() <= 66, "{}", made.lines().count());
        match Secret::from_file_text(&made).unwrap() {
            Secret::KeyFile(read) => assert_eq!(*read, key),
            Secret::Password(_) => panic!("a password"),
        }
    }

    #[test]
    fn the_picture_is_dark_where_a_qr_code_is() {
        let drawn = picture(&[7; 32]).unwrap();
        let lines: Vec<&str> = drawn.lines().collect();
        // A quiet zone, then the corner of the first finder: seven dark modules in a row.
        assert!(lines[0].chars().all(|one| one == ' '), "{}", *drawn);
        let corner: String = lines[2].chars().skip(4).take(8).collect();
        assert_eq!(corner, "█▀▀▀▀▀█ ", "{}", *drawn);
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()));
    }
}
